"""Benches of group B: proved down to the chip, and spoken to."""

TITLE = "Proved down to the chip, and spoken to"
