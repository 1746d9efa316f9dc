"""Golden model and the checks that compare RTL with it."""
