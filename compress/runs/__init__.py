"""A run: its identity, its folder, its result, and the lock of whoever is at it."""
