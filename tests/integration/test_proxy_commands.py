"""Commands and the API behind a proxy that refuses, or that cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bootstrap import for_api
from app.main import create_app
from tests.support.api import settings, started
from tests.support.commands import run
from tests.support.loopback import serving, whole
from tests.support.processes import ended, process

ELSEWHERE = {
    "MB_API_BASE_URL": "https://exchange.invalid/v4",
    "COINGECKO_API_BASE_URL": "https://prices.invalid/v3",
    "ALLOWED_PAIRS": "BRLBTC,BRLETH",
    "MB_REQUESTS_PER_SECOND": "1000",
    "COINGECKO_REQUESTS_PER_SECOND": "1000",
    "UPSTREAM_RETRY_SECONDS": "1",
}


@pytest.mark.parametrize(
    ("module", "arguments", "requests"),
    [
        ("workers.initial_loader", ["--json"], 2),
        ("workers.price_collector", ["--json", "--once"], 1),
        ("workers.price_collector", ["--json", "--fetch", "BTC"], 1),
    ],
)
def test_a_login_that_the_proxy_refuses_is_a_setting_to_change_and_is_not_tried_again(
    module: str, arguments: list[str], requests: int, tmp_path: Path
) -> None:
    with serving(whole(b"", status=b"407 no")) as proxy:
        variables = {**ELSEWHERE, "HTTPS_PROXY": f"http://mms:wrong-one@127.0.0.1:{proxy.port}"}
        end = run(tmp_path, module, *arguments, **variables)
    assert end.code == end.summary["exit"] == 2
    assert "The proxy in HTTPS_PROXY refuses this client (407 Proxy Auth" in end.shown
    assert "wrong-one" not in end.shown + end.said
    assert len(proxy.requests) == requests  # one for each series


def test_a_refusing_proxy_is_a_503_with_advice_and_health_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    now = 1_800_000_000.0
    chosen = settings(
        db_url=f"sqlite:///{tmp_path / 'mms.db'}",
        coingecko_api_base_url="https://prices.invalid",
        coingecko_requests_per_second=10_000,
        price_stale_seconds=900,
    )
    with serving(whole(b"", status=b"407 no")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with started(create_app(chosen, lambda given: for_api(given, lambda: now))) as api:
            assert api.get("/health").json() == {"status": "ok", "database": "ok", "cache": "ok"}
            answer = api.ask("POST", "/collect-once/BTC")
            assert (answer.status, answer.json()["code"]) == (503, "upstream-unavailable")
            assert "the operator's log says what to correct" in answer.json()["detail"]
            health = api.get("/health")
            assert (health.status, health.json()) == (
                200,
                {"status": "degraded", "database": "ok", "cache": "ok", "prices": "degraded"},
            )
            now += 901  # nobody has asked since: nothing is known
            assert api.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize(
    ("program", "code"), [(["app.serve"], 2), (["uvicorn", "app.main:app", "--port", "0"], 3)]
)
def test_the_api_does_not_start_with_a_proxy_that_cannot_be_one(
    program: list[str], code: int, tmp_path: Path
) -> None:
    proxy = "http://mms:PWQX#ZZQX@127.0.0.1:3128"
    with process(tmp_path, "-m", *program, **ELSEWHERE, PORT="0", HTTPS_PROXY=proxy) as child:
        got, said = ended(child)
    assert got == code, said
    assert said.count("HTTPS_PROXY is not the URL of a proxy") == 1
    assert "Traceback" not in said
    assert "ZQX" not in said
    assert "PWQ" not in said
    assert list(tmp_path.iterdir()) == []
