"""Hardware library: components that take numbers and know no network."""
