"""Whole samples, read out of a train buffer one word after the other."""
