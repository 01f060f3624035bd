"""Faults planted in the arithmetic, to see that the tests notice: `make mutation`."""
