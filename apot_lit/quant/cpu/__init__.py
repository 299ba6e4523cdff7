"""What makes quantisers and quantised layers fast on the CPU; the same numbers come without it."""
