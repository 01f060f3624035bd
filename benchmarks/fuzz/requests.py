"""Requests that nobody would write, drawn by Hypothesis against the application itself.

Whatever a client sends, the reply is below 500; an error is a problem document that names its status;
and every reply is one that /openapi.json announces for that route.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from tests.support.api import Client, FakeRuntime, load, serving

_BATCH: Final = 200

_VALUES: Final = st.one_of(
    st.sampled_from(
        ["20", "50", "200", "1d", "1m", "0", "-1", "2024-03-29", "20,50", "1e9", "robust"]
    ),
    st.integers(-(10**30), 10**30).map(str),
    st.decimals(allow_nan=True).map(str),
    st.datetimes().map(str),
    st.text(max_size=30),
)
_PAIRS: Final = st.one_of(
    st.sampled_from(["BRLBTC", "btc-brl", "BTC", "XXX"]), st.text(max_size=20)
)


def search(
    seconds: float, chance: random.Random, now: Callable[[], float] = time.monotonic
) -> tuple[int, str]:
    """Ask for so many seconds; returns how many requests were made, and what was found, else ''."""
    runtime = FakeRuntime()
    load(runtime.store, count=60)
    tried = 0
    with serving(runtime, access_log="off") as client:
        routes = _routes(client)
        began = now()
        while now() - began < seconds:
            number = chance.randrange(2**32)

            @seed(number)
            @settings(
                max_examples=_BATCH,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            )
            @given(st.data())
            def ask(data: Any) -> None:
                nonlocal tried
                tried += 1
                _ask(client, routes, data)

            try:
                ask()
            except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
                notes = "\n".join(getattr(error, "__notes__", []))
                kind = "not repeatable: " if isinstance(error, Flaky) else ""
                return tried, f"{kind}{type(error).__name__}: {error}\n{notes}"
    return tried, ""


def _routes(client: Client) -> list[tuple[str, str, list[str], set[int]]]:
    """Method, path, the names of its parameters in the query, and the statuses it announces."""
    document = client.get("/openapi.json").json()
    found = []
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            names = [p["name"] for p in about.get("parameters", []) if p["in"] == "query"]
            statuses = {int(code) for code in about["responses"] if code.isdigit()}
            found.append((method.upper(), path, names, statuses))
    return found


def _ask(client: Client, routes: list[tuple[str, str, list[str], set[int]]], data: Any) -> None:
    method, path, names, announced = data.draw(st.sampled_from(routes))
    target = path.replace("{pair}", data.draw(_PAIRS)).replace("{symbol}", data.draw(_PAIRS))
    items = data.draw(
        st.lists(st.tuples(st.sampled_from([*names, "x"]), _VALUES), max_size=4)
        if names
        else st.just([])
    )
    query = "&".join(f"{name}={value}" for name, value in items)
    raw = target.encode("utf-8", "surrogatepass")
    got = client.send(method, target, raw, query.encode("utf-8", "surrogatepass"))
    shown = f"{method} {target!r}?{query!r}: {got.status}"
    assert 200 <= got.status < 500 or got.status == 503, f"{shown} {got.body[:200]!r}"
    if got.status >= 400:
        problem = json.loads(got.body)
        assert problem["status"] == got.status, f"{shown}: the document says {problem['status']}"
    # A path that was drawn may be that of no route, or have grown a second part.
    of_route = "/" not in target[len(path.partition("{")[0]) :] if "{" in path else True
    if of_route and got.status not in (404, 405):
        assert got.status in announced | {
            422
        }, f"{shown}, and only {sorted(announced)} is announced"
