"""The read-out of integrate-and-fire neurons, every event of which is worth one."""
