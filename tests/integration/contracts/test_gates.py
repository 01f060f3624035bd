"""Gates, with real services."""

from tests.contracts.test_gates import *
