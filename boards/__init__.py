"""Boards: pins, clocks, limits, host link, bitstreams."""
