"""Stores of series, with real services."""

from tests.contracts.test_series_store import *
