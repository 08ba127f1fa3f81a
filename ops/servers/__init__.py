"""Servers of one's own, for tests and the bench: installed programs, on loopback, gone with their owner."""
