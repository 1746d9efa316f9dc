"""Command line, host driver, reports, example models and data."""
