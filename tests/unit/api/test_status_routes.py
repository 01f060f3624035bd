"""GET /pairs, /health, /healthz, /readyz and the addresses around them."""

from __future__ import annotations

from threading import Event

from structlog.testing import capture_logs

from app.core.errors import StoreError, StoreUnavailable, StoreUnusable
from app.core.market import DAY, Series, SeriesState
from app.main import create_app
from app.testing.series import MemorySeriesStore
from tests.support.api import LAST, FakeRuntime, load, serving, settings, started


def test_pairs_says_what_is_served_and_how_complete_it_is() -> None:
    runtime = FakeRuntime()
    load(runtime.store, without=[LAST - 3 * DAY])
    with serving(runtime) as api:
        btc, eth = api.get("/pairs").json()["pairs"]
    assert btc == {
        "pair": "BRLBTC",
        "symbol": "BTC-BRL",
        "interval": "1d",
        "windows": [20, 50, 200],
        "first": "2023-03-31T00:00:00Z",
        "last": "2024-03-29T00:00:00Z",
        "expected": 365,
        "stored": 364,
        "missing": 1,
        "warm_up_missing": 0,
        "as_of": "2024-03-29T00:00:00Z",
        "checked_at": "2024-03-30T00:05:00Z",
        "stale": False,
    }
    assert eth["pair"] == "BRLETH"
    assert (eth["first"], eth["last"], eth["as_of"], eth["checked_at"]) == (None,) * 4
    assert (eth["stored"], eth["missing"], eth["stale"]) == (0, 365, True)
    assert eth["warm_up_missing"] == 199
    assert "make initial_load" in eth["message"]


class TroubledStore(MemorySeriesStore):
    """A store that raises `trouble` while a test sets it, and counts how often it was read."""

    trouble: StoreError | None = None
    reads = 0

    def state(self, series: Series) -> SeriesState:
        self.reads += 1
        if self.trouble is not None:
            raise self.trouble
        return super().state(series)


def test_health_and_readiness_are_the_databases_and_being_alive_is_nobodys() -> None:
    store = TroubledStore()
    with serving(FakeRuntime(store)) as api:
        for trouble in (None, StoreUnavailable("10.1.2.3 refused"), StoreUnusable("not migrated")):
            store.trouble = trouble
            health, ready = api.get("/health"), api.get("/readyz")
            assert health.status == ready.status == (503 if trouble else 200)
            said = "unavailable" if trouble else "ok"
            assert health.json() == {"status": said, "database": said, "cache": "ok"}
            assert ready.json()["status"] == ("unavailable" if trouble else "ready")
            assert b"10.1.2.3" not in ready.body
            alive = api.get("/healthz")
            assert (alive.status, alive.json()) == (200, {"status": "alive"})


def test_readiness_reads_the_database_once_and_the_log_says_why_that_fails() -> None:
    store = TroubledStore()
    load(store)
    with serving(FakeRuntime(store), access_log="off") as api, capture_logs() as lines:
        assert (api.get("/readyz").status, store.reads) == (200, 1)
        store.trouble = StoreUnusable("not migrated")
        assert (api.get("/readyz").status, store.reads) == (503, 2)
        assert (api.get("/readyz").status, store.reads) == (503, 3)
    why = {"event": "database_unusable", "problem": "not migrated", "times": 1}
    assert lines == [why | {"log_level": "warning"}]


def test_a_dead_cache_only_degrades() -> None:
    with serving(FakeRuntime(cache_works=False)) as api:
        said = {"status": "degraded", "database": "ok", "cache": "degraded"}
        assert (api.get("/health").status, api.get("/health").json()) == (200, said)
        assert (api.get("/readyz").status, api.get("/readyz").json()["cache"]) == (200, "degraded")


def test_an_empty_database_is_ready_and_says_what_to_run() -> None:
    runtime = FakeRuntime()
    with serving(runtime) as api:
        got = api.get("/readyz")
        assert (got.status, got.json()["data"]) == (200, "empty")
        assert "make initial_load" in got.json()["message"]
        load(runtime.store)
        assert api.get("/readyz").json() == {"status": "ready", "data": "present", "cache": "ok"}


def test_a_process_that_shuts_down_is_alive_and_healthy_but_not_ready() -> None:
    draining = Event()
    runtime = FakeRuntime()
    with started(create_app(settings(), runtime.build, draining=draining)) as api:
        assert api.get("/readyz").status == 200
        draining.set()
        got = api.get("/readyz")
        assert got.status == 503
        assert "shutting down" in got.json()["message"]
        assert api.get("/healthz").status == api.get("/health").status == 200


def test_a_probe_may_carry_any_query() -> None:
    with serving(FakeRuntime()) as api:
        for path in ("/health", "/healthz", "/readyz"):
            assert api.get(f"{path}?t=1711670400&t=2").status == 200
