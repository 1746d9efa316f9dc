"""Windows over pixels that stand several times, read where their source stands once."""
