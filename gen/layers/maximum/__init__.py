"""Maxima over windows, as hardware does max pooling: by comparing trains."""
