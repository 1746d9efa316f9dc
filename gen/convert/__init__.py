"""From a Network and samples to a Design: ranges, codes, integers."""
