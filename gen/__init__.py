"""Generator: from a torch model to a Design of integers, and from a Design to RTL."""
