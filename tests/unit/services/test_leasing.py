"""Working under a lease: taken, renewed now and then, given back, and left to others."""

from __future__ import annotations

import pytest

from app.core.errors import TakenByAnother
from app.services.leasing import RENEW_EVERY, leased
from app.testing.series import MemoryLeases

SECONDS = 120.0


def test_an_error_gives_the_lease_back_too() -> None:
    table: dict[str, tuple[str, float]] = {}
    leases = MemoryLeases("ours", table, SECONDS)
    with pytest.raises(ZeroDivisionError), leased(leases, "work", lambda: 1000.0):
        raise ZeroDivisionError
    assert table == {}


def test_a_held_lease_is_left_alone_with_the_holders_name() -> None:
    table = {"work": ("host:42", 1100.0)}
    leases = MemoryLeases("ours", table, SECONDS)
    with (
        pytest.raises(TakenByAnother, match="work: host:42 already holds the lease"),
        leased(leases, "work", lambda: 1000.0),
    ):
        pytest.fail("somebody else holds it")
    assert table == {"work": ("host:42", 1100.0)}


def test_a_lease_is_renewed_only_when_some_time_has_passed_or_the_clock_went_back() -> None:
    table: dict[str, tuple[str, float]] = {}
    now = [1000.0]
    with leased(MemoryLeases("ours", table, SECONDS), "work", lambda: now[0]) as renew:
        now[0] += RENEW_EVERY - 1
        renew()
        assert table["work"][1] == 1000.0 + SECONDS
        now[0] += 1
        renew()
        assert table["work"][1] == now[0] + SECONDS
        now[0] -= 500
        renew()
        assert table["work"][1] == now[0] + SECONDS


def test_a_lease_that_was_lost_meanwhile_ends_the_work() -> None:
    table: dict[str, tuple[str, float]] = {}
    now = [1000.0]

    def lose_it() -> None:
        with leased(MemoryLeases("ours", table, SECONDS), "work", lambda: now[0]) as renew:
            table["work"] = ("thief", 1600.0)
            now[0] += 500
            renew()

    with pytest.raises(TakenByAnother):
        lose_it()
    assert table == {"work": ("thief", 1600.0)}
