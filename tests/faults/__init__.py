"""Faults that are seeded into the embedded kernel to see whether the tests notice: `python -m tests.faults`."""
