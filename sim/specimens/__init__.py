"""Designs made by seed, for tests, benches and fuzzing."""
