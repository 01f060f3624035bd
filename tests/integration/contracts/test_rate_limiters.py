"""Rate limiters, with real services."""

from tests.contracts.test_rate_limiters import *
