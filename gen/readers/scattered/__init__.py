"""Samples that are read in another order than they come: trains are put where they are read."""
