"""Sums of the trains of planes, read once for all pixels."""
