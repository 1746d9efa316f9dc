"""Neurons of two operands: products, quotients, quotients by a root."""
