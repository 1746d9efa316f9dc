"""Integrate-and-fire neurons, the baseline: the sums of a step are their currents."""
