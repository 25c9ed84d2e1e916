"""Clocks, time limits, memory, threads and statistics: what it takes to measure on this machine."""
