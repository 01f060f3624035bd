"""What reads say about freshness, and replies to clients that hold them already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from app.core.market import (
    DAY,
    WITHOUT_VOLUME,
    Interval,
    RefusedCandle,
    Series,
    SeriesState,
    VolumeNote,
    Window,
)
from app.core.prices import Coin, SpotPrice
from app.db.cache.averages import CachedAverageStore, block_memory
from app.testing.series import MemorySeriesStore
from tests.support.api import LAST, NOW, Client, FakeRuntime, load, serving
from tests.support.candles import BTC_DAILY

DAILY = Interval.DAY


class CountingSource:
    """The store behind the cache; counts what is asked of it."""

    def __init__(self, store: MemorySeriesStore) -> None:
        self.store = store
        self.asked: list[str] = []

    def state(self, series: Series) -> SeriesState:
        self.asked.append("state")
        return self.store.state(series)

    def means(
        self, series: Series, window: Window, first: int, last: int
    ) -> tuple[SeriesState, Sequence[tuple[int, int]]]:
        self.asked.append("means")
        return self.store.means(series, window, first, last)


@pytest.fixture
def runtime() -> FakeRuntime:
    made = FakeRuntime()
    load(made.store, without=[LAST - 9 * DAY, LAST - 100 * DAY])
    return made


@pytest.fixture
def api(runtime: FakeRuntime) -> Iterator[Client]:
    with serving(runtime) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("/BRLBTC/mms?range=20", "30"),
        ("/BRLBTC/candles?windows=20", "2"),
        ("/BRLBTC/anomalies", "2"),
        ("/BRLETH/candles", "365"),
        ("/BRLBTC/candles?from=2999-01-01", "0"),
    ],
)
def test_a_client_that_holds_the_reply_gets_304_with_the_same_headers_and_no_body(
    api: Client, path: str, missing: str
) -> None:
    whole = api.get(path)
    tag = whole.header("etag")
    assert tag is not None
    assert (whole.status, whole.header("x-data-missing")) == (200, missing)
    for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = api.get(path, ("If-None-Match", held))
        assert (again.status, again.body) == (304, b""), held
        said = {name for name, _ in whole.headers} - {"content-length", "content-type"}
        assert said >= {"x-data-stale", "x-data-missing", "cache-control"}
        for name in said - {"x-request-id"}:
            assert again.header(name) == whole.header(name)
    # Several lines are one list.
    lines = (("If-None-Match", '"other"'), ("If-None-Match", f'"more", {tag}'))
    assert api.get(path, *lines).status == 304
    assert api.get(path, lines[0], lines[0]).status == 200
    for other in ('"other"', tag.strip('"'), ""):
        assert api.get(path, ("If-None-Match", other)).status == 200


@pytest.mark.parametrize("path", ["/pairs", "/history/BTC"])
def test_a_reply_that_is_tagged_by_its_bytes_is_sent_once_until_they_change(
    runtime: FakeRuntime, api: Client, path: str
) -> None:
    tags = []
    for number in (1, 2):
        load(runtime.store, last=LAST + number * DAY)
        runtime.now += DAY
        runtime.prices.add([SpotPrice(Coin("BTC", "bitcoin"), number, "usd", NOW)], NOW)
        whole = api.get(path)
        tag = whole.header("etag")
        assert tag is not None
        assert (whole.status, whole.header("cache-control")) == (200, "public, no-cache")
        for method in ("GET", "HEAD"):
            for encoding in ("identity", "gzip"):
                held = (("If-None-Match", tag), ("Accept-Encoding", encoding))
                again = api.ask(method, path, *held)
                weak = "W/" if encoding == "gzip" else ""
                assert (again.status, again.body) == (304, b"")
                assert again.header("etag") == f"{weak}{tag}"
            assert api.ask(method, path).header("content-length") == str(len(whole.body))
        tags.append(tag)
    assert tags[0] != tags[1]
    assert api.get(path, ("If-None-Match", tags[0])).body == whole.body


def test_every_change_of_what_is_asked_and_of_the_data_changes_the_tag(
    runtime: FakeRuntime, api: Client
) -> None:
    paths = [
        "/BRLBTC/mms?range=20",
        "/BRLBTC/mms?range=50",
        "/BRLBTC/candles",
        "/BRLBTC/candles?windows=20",
        "/BRLETH/mms?range=20",
        "/BRLBTC/mms?range=20&from=2024-01-01",
        "/BRLBTC/mms?range=20&from=2024-01-01&to=2024-03-28",
    ]
    tags = [api.get(path).header("etag") for path in paths]
    assert api.get("/btc-brl/mms?range_days=20").header("etag") == tags[0]
    load(runtime.store)
    tags += [api.get(paths[0]).header("etag"), api.get(paths[-1]).header("etag")]
    runtime.now += DAY
    assert api.get(paths[-1]).header("etag") == tags[-1]
    tags.append(api.get(paths[0]).header("etag"))
    assert len(set(tags)) == len(tags)


def test_repeated_reads_and_304s_do_not_touch_the_database(runtime: FakeRuntime) -> None:
    source = CountingSource(runtime.store)
    seconds = [0.0]
    runtime.averages = CachedAverageStore(
        source, block_memory(3600, monotonic=lambda: seconds[0]), monotonic=lambda: seconds[0]
    )
    with serving(runtime) as api:
        tag = api.get("/BRLBTC/mms?range=20").header("etag")
        assert tag is not None
        assert source.asked == ["state", "means"]
        for _ in range(50):
            assert api.get("/BRLBTC/mms?range=20").status == 200
            assert api.get("/BRLBTC/mms?range=20", ("If-None-Match", tag)).status == 304
        assert source.asked == ["state", "means"]
        seconds[0] += 0.6
        assert api.get("/BRLBTC/mms?range=20", ("If-None-Match", tag)).status == 304
        assert source.asked == ["state", "means", "state"]


@pytest.mark.parametrize(
    ("later", "stale"), [(0, "false"), (14 * 3600 + 3599, "false"), (14 * 3600 + 3600, "true")]
)
def test_old_data_is_marked_stale_an_hour_after_a_newer_close(
    runtime: FakeRuntime, api: Client, later: int, stale: str
) -> None:
    runtime.now = NOW + later
    got = api.get("/BRLBTC/mms?range=20")
    assert got.status == 200
    assert got.header("x-data-stale") == stale
    assert got.header("x-data-as-of") == "2024-03-29T00:00:00Z"
    assert api.get("/pairs").json()["pairs"][0]["stale"] is (stale == "true")


def test_quarantine_and_revisions_are_served(runtime: FakeRuntime, api: Client) -> None:
    before = runtime.store.rows(BTC_DAILY, LAST, LAST)[1][0][0]
    after = replace(before, close=before.close + 1, volume="46000000000000.123456789")
    before = replace(before, volume=None)
    note = VolumeNote(LAST, f"{WITHOUT_VOLUME} The volume is missing.")
    with runtime.store.begin(BTC_DAILY) as unit:
        unit.quarantine([RefusedCandle(LAST, "odd"), RefusedCandle(None, "no stamp"), note], NOW)
        unit.note_revised([(before, after)])
        unit.finish(changed=True, now=NOW)
    kept = api.get("/BRLBTC/quarantine").json()
    assert kept == [
        {"timestamp": stamp, "reason": reason, "used": used, "first_seen": NOW, "last_seen": NOW}
        for stamp, reason, used in (
            (LAST, note.reason, True),
            (LAST, "odd", False),
            (None, "no stamp", False),
        )
    ]
    (revised,) = api.get("/BRLBTC/revisions").json()
    assert (revised["timestamp"], revised["noticed"]) == (LAST, NOW)
    assert int(revised["new_close"].scaleb(8)) == after.close
    assert int(revised["old_close"].scaleb(8)) == before.close
    assert (revised["old_volume"], str(revised["new_volume"])) == (None, after.volume)
    assert int(revised["revision"]) == runtime.store.state(BTC_DAILY).revision
    assert api.get("/BRLBTC/gaps").json()["quarantined"] == 2
    for path in ("quarantine", "revisions"):
        assert len(api.get(f"/BRLBTC/{path}?limit=1").json()) == 1
        empty = api.get(f"/BRLETH/{path}")
        assert empty.json() == []
        assert "No candle of BRLETH at 1d has been" in (empty.header("x-data-reason") or "")
        for bad in ("0", "1001", "x"):
            assert api.get(f"/BRLBTC/{path}?limit={bad}").status == 422
