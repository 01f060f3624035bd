"""Caches, with real services."""

from tests.contracts.test_cache import *
