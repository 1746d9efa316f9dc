"""Inputs that fire as signGD neurons do, on F = ceil(p M / 2^S)."""
