"""From a torch model to a Network."""
