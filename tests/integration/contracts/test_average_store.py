"""Stores of averages, and caches in front of them, with real services."""

from tests.contracts.test_average_store import *
