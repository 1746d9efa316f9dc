"""Minimum: neurons that fire against the lesser of two operands."""
