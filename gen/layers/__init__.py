"""Layers in hardware: plan, RTL, timing and cost of each kind."""
