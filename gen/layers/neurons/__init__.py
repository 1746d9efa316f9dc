"""Neurons that fire against a function of one operand, settled or overlapped."""
