"""GET /{pair}/gaps says why a value is missing, wherever the candle lies that it lacks."""

from __future__ import annotations

import pytest

from app.core.market import DAY, WARM_UP
from app.db.memory import MemorySeriesStore
from tests.support.api import LAST, NOW, FakeRuntime, load, serving

SERVED_FROM = LAST - 364 * DAY


@pytest.mark.parametrize(("days_before", "missing"), [(1, 199), (50, 150), (199, 1), (200, 0)])
def test_a_hole_before_the_served_period_explains_the_averages_that_lack_it(
    days_before: int, missing: int
) -> None:
    hole = SERVED_FROM - days_before * DAY
    runtime = FakeRuntime()
    load(runtime.store, count=600, without=[hole])
    with serving(runtime) as api:
        averages = api.get("/BRLBTC/mms?range=200")
        gaps = api.get("/BRLBTC/gaps").json()
        listed = api.get("/pairs").json()["pairs"][0]
    assert averages.header("x-data-missing") == str(missing)
    assert (gaps["complete"], len(gaps["gaps"])) == (not missing, min(missing, 1))
    assert [(gap["count"], gap["cause"], gap["warm_up"]) for gap in gaps["gaps"]] == (
        [(1, "never-fetched", True)] if missing else []
    )
    # The served candles are all there, and are counted as such.
    assert (gaps["stored"], gaps["missing"]) == (listed["stored"], listed["missing"]) == (365, 0)
    assert gaps["warm_up_missing"] == listed["warm_up_missing"] == min(missing, 1)


def test_a_gap_of_the_served_period_is_no_warm_up() -> None:
    runtime = FakeRuntime()
    load(runtime.store, without=[SERVED_FROM - DAY, SERVED_FROM])
    with serving(runtime) as api:
        gaps = api.get("/BRLBTC/gaps").json()
    assert [(gap["first"], gap["count"], gap["warm_up"]) for gap in gaps["gaps"]] == [
        ("2023-03-30T00:00:00Z", 1, True),
        ("2023-03-31T00:00:00Z", 1, False),
    ]
    assert (gaps["missing"], gaps["warm_up_missing"]) == (1, 1)


def test_how_old_the_newest_candle_and_the_last_load_are_is_said_in_seconds() -> None:
    runtime = FakeRuntime()
    load(runtime.store)
    with serving(runtime) as api:
        gaps = api.get("/BRLBTC/gaps").json()
    assert gaps["age_seconds"] == NOW - (LAST + DAY)
    assert gaps["checked_age_seconds"] == NOW - (LAST + DAY + 300)


def test_what_was_never_loaded_has_no_age() -> None:
    with serving(FakeRuntime(store=MemorySeriesStore())) as api:
        gaps = api.get("/BRLBTC/gaps").json()
    assert (gaps["age_seconds"], gaps["checked_age_seconds"]) == (None, None)
    assert (gaps["missing"], gaps["warm_up_missing"]) == (365, WARM_UP)
