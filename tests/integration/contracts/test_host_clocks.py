"""The memory of the hosts' clocks, with real services."""

from tests.contracts.test_host_clocks import *
