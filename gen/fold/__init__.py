"""How parallel each layer is."""
