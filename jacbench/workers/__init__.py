"""Processes that compute for another one: the channel between them, limits, a pool."""
