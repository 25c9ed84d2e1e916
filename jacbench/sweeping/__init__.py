"""Sweeps: time and memory against size, how fast they grow, and where another method wins."""
