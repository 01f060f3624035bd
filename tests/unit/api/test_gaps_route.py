"""GET /{pair}/gaps says why a value is missing, wherever the candle lies that it lacks."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.market import DAY, WARM_UP, QuarantinedCandle, RefusedCandle
from app.testing.series import MemorySeriesStore
from tests.support.api import LAST, NOW, FakeRuntime, load, serving
from tests.support.candles import BTC_DAILY

SERVED_FROM = LAST - 364 * DAY


@pytest.mark.parametrize(("days_before", "missing"), [(1, 199), (199, 1), (200, 0)])
def test_a_hole_before_the_served_period_explains_the_averages_that_lack_it(
    days_before: int, missing: int
) -> None:
    runtime = FakeRuntime()
    load(runtime.store, count=600, without=[SERVED_FROM - days_before * DAY])
    with serving(runtime) as api:
        averages = api.get("/BRLBTC/mms?range=200")
        gaps = api.get("/BRLBTC/gaps").json()
        listed = api.get("/pairs").json()["pairs"][0]
    assert averages.header("x-data-missing") == str(missing)
    assert gaps["complete"] is not bool(missing)
    assert [(gap["count"], gap["cause"], gap["warm_up"]) for gap in gaps["gaps"]] == (
        [(1, "never-fetched", True)] if missing else []
    )
    # The served candles are all there, and are counted as such.
    assert (gaps["stored"], gaps["missing"]) == (listed["stored"], listed["missing"]) == (365, 0)
    assert gaps["warm_up_missing"] == listed["warm_up_missing"] == min(missing, 1)


def test_gaps_are_named_with_their_cause_and_the_series_with_its_age() -> None:
    runtime = FakeRuntime()
    load(runtime.store, without=[LAST - 2 * DAY, LAST - 3 * DAY, LAST - 9 * DAY])
    with runtime.store.begin(BTC_DAILY) as unit:
        unit.note_absent([LAST - 9 * DAY], NOW - 2 * DAY)
        unit.note_absent([LAST - 9 * DAY], NOW)
        unit.finish(changed=False, now=NOW - 60)
    with serving(runtime) as api:
        found = api.get("/BRLBTC/gaps?interval=1d").json()
        never = api.get("/BRLETH/gaps").json()
        for query, status in (("interval=2d", 400), ("from=1", 422)):
            assert api.get(f"/BRLBTC/gaps?{query}").status == status
    assert (found["expected"], found["stored"], found["missing"]) == (365, 362, 3)
    assert [(gap["first"], gap["last"], gap["count"], gap["cause"]) for gap in found["gaps"]] == [
        ("2024-03-20T00:00:00Z", "2024-03-20T00:00:00Z", 1, "confirmed-absent"),
        ("2024-03-26T00:00:00Z", "2024-03-27T00:00:00Z", 2, "never-fetched"),
    ]
    assert (found["complete"], found["wrong_averages"]) == (False, [])
    assert (found["age_seconds"], found["checked_age_seconds"]) == (NOW - (LAST + DAY), 60)
    assert (never["age_seconds"], never["checked_age_seconds"]) == (None, None)
    assert (never["missing"], never["warm_up_missing"]) == (365, WARM_UP)


def test_a_tag_of_gaps_holds_until_more_than_the_ages_changes() -> None:
    runtime = FakeRuntime()
    load(runtime.store, without=[LAST - 9 * DAY])
    with runtime.store.begin(BTC_DAILY) as unit:
        unit.finish(changed=False, now=NOW - 60)
    with serving(runtime) as api:
        first = api.get("/BRLBTC/gaps")
        tag = first.header("etag") or ""
        assert tag.startswith('W/"')
        assert first.header("cache-control") == "public, no-cache"

        def ask() -> bool:
            """Whether the tag holds; a reply of 200 brings the next one."""
            nonlocal tag
            # Another process that has nothing in memory says the same.
            with serving(runtime) as other:
                replies = [
                    each.get("/BRLBTC/gaps", ("if-none-match", tag)) for each in (api, other)
                ]
            assert len({(reply.status, reply.header("etag")) for reply in replies}) == 1
            held = replies[0].status == 304
            assert (replies[0].header("etag") == tag, not replies[0].body) == (held, held)
            tag = replies[0].header("etag") or ""
            return held

        assert ask()
        runtime.now += 50
        assert ask()
        assert api.get("/BRLBTC/gaps").json()["checked_age_seconds"] == 110
        # Neither of these changes the state of the series.
        with runtime.store.begin(BTC_DAILY) as unit:
            unit.note_absent([LAST - 9 * DAY], NOW)
        assert (ask(), ask()) == (False, True)
        with runtime.store.begin(BTC_DAILY) as unit:
            unit.quarantine([RefusedCandle(LAST - 9 * DAY, "odd")], NOW)
        assert (ask(), ask()) == (False, True)
        with runtime.store.begin(BTC_DAILY) as unit:
            unit.finish(changed=False, now=NOW)
        assert (ask(), ask()) == (False, True)
        runtime.now = LAST + 2 * DAY + 3600
        assert (ask(), ask()) == (False, True)
        assert api.get("/BRLBTC/gaps").json()["stale"] is True
        assert api.get("/BRLETH/gaps", ("if-none-match", tag)).status == 200
        assert api.get("/BRLBTC/gaps", ("if-none-match", "*")).status == 304


class Refusing(MemorySeriesStore):
    """A store in which a load notes something new during each inspection."""

    def quarantined(self, *asked: Any, notes: bool = True) -> list[QuarantinedCandle]:
        refused = super().quarantined(*asked, notes=notes)
        with self.begin(BTC_DAILY) as unit:
            unit.quarantine([RefusedCandle(LAST, f"odd {len(refused)}")], NOW)
        return refused


def test_gaps_that_change_while_they_are_read_have_no_tag() -> None:
    runtime = FakeRuntime(Refusing())
    load(runtime.store)
    with serving(runtime) as api:
        reply = api.get("/BRLBTC/gaps", ("if-none-match", ""))
    assert (reply.status, reply.header("etag")) == (200, None)
