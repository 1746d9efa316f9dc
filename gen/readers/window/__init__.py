"""Windows over the lines of planes, read out of a line buffer."""
