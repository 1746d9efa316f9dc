"""Inputs of the binary schedule, whose trains are numbers and stand at once."""
