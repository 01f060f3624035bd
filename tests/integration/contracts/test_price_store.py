"""Stores of prices, with real services."""

from tests.contracts.test_price_store import *
