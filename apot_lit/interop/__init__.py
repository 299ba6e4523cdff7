"""Reading what other implementations write."""
