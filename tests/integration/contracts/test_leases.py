"""Leases, with real services."""

from tests.contracts.test_leases import *
