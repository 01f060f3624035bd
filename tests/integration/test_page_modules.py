"""The page's pure modules, run in the browser: they say what the service's own code says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from app.core.market import WINDOWS
from app.domain.crossings import Levels, crossings
from app.domain.fixed_point import text
from tests.support.served import api

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STEP = 86_400
FIRST = 1_790_812_800

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs an expression over `m`, an object of all modules, and `x`, what a test gives."""
    from tests.support.browser import visiting

    with (
        api(tmp_path_factory.mktemp("page"), "api") as served,
        visiting(browser, f"http://127.0.0.1:{served.port}/") as visit,
    ):

        def evaluate(body: str, given: Any = None) -> Any:
            # The page's policy forbids to make a function of a text in it, so each one comes whole.
            return visit.page.evaluate(_WITH_MODULES % body, given)

        yield evaluate


_WITH_MODULES = """async (x) => {
    const main = document.querySelector('script[type="module"]').src;
    const names = ["address", "decimal", "format", "ranges", "rows", "sentence", "series",
        "words"];
    const all = await Promise.all(names.map((name) => import(main.replace("main", name))));
    const m = Object.assign({}, ...all);
    return (%s);
}"""


def test_crossings_are_those_of_the_service(run: Run) -> None:
    chance = random.Random(1)
    levels = []
    bucket = FIRST
    for _ in range(400):
        bucket += STEP * chance.choice([1, 1, 1, 1, 2])
        # Few values, so that lines often touch, and beyond what a double holds.
        values = [9_007_199_254_740_993_00 + chance.randrange(3) for _ in range(4)]
        averages = tuple(None if chance.random() < 0.1 else each for each in values[1:])
        levels.append(Levels(bucket, values[0], averages))
    expected = [
        f"{now.bucket} {crossed}"
        for before, now in pairwise(levels)
        for crossed in crossings(before, now, STEP)
    ]
    lines = ["timestamp,open,high,low,close,volume,mms_20,mms_50,mms_200"]
    for each in levels:
        close = text(each.close)
        means = ["" if mean is None else text(mean) for mean in each.averages]
        lines.append(",".join([str(each.bucket), *([close] * 4), "1", *means]))
    got = run(
        "m.crossings(m.parse(x), 86400).map(c => `${c.time} ${c.a}${c.up ? '>' : '<'}${c.b}`)",
        "\n".join(lines) + "\n",
    )
    assert len(expected) > 100
    assert got == expected


def test_a_missing_bucket_has_its_slot_and_is_shaded_and_the_running_one_is_empty(run: Run) -> None:
    rows = [
        {"time": FIRST + n * STEP, "close": "1", "averages": [None] * len(WINDOWS)}
        for n in (0, 1, 4)
    ]
    view = run(
        "m.slotsOf({rows: x, gaps: []}, {range: '30d', interval: '1d'}, x[2].time + 1.5 * 86400)",
        rows,
    )
    days = [(slot["time"] - FIRST) // STEP for slot in view["slots"]]
    assert days == [0, 1, 2, 3, 4, 5]
    assert [slot["row"] is None for slot in view["slots"]] == [
        *(False, False, True, True, False, True)
    ]
    bands = [
        (b["kind"], (b["first"] - FIRST) // STEP, (b["last"] - FIRST) // STEP)
        for b in view["bands"]
    ]
    assert sorted(bands) == [("hole", 2, 3), ("running", 5, 5)]


@pytest.mark.parametrize(
    ("value", "english", "portuguese"),
    [
        ("439605.68", "439,605.68", "439.605,68"),
        ("0.00000001", "0.00000001", "0,00000001"),
        ("1234567890.12345678", "1,234,567,890.12345678", "1.234.567.890,12345678"),
        ("-12", "−12", "−12"),
    ],
)
def test_a_decimal_keeps_every_digit(run: Run, value: str, english: str, portuguese: str) -> None:
    assert run("[m.decimal(x, 'en'), m.decimal(x, 'pt-BR')]", value) == [english, portuguese]


def test_a_relative_change_is_exact(run: Run) -> None:
    assert run("m.change('91929.008', '83571.82545454545')", None) == "0.1000"
    assert run("m.change('99', '100')", None) == "-0.0100"
    assert run("m.change('1', '0')", None) is None


def test_the_address_holds_the_state_and_keeps_what_it_does_not_know(run: Run) -> None:
    state = {"pair": "BRLBTC", "interval": "1d", "range": "30d", "view": None}
    written = run("m.addressOf(x, '?lang=pt-BR&view=table&other=1')", state)
    assert written == "?lang=pt-BR&other=1&pair=BRLBTC&interval=1d&range=30d"
    assert run("m.read(x)", written) == state


LATEST = {
    "timestamp": FIRST,
    "close": "439605.68",
    "distance_200": "0.0942",
    "trend": "above",
    "stale": False,
}
CROSSED = {"time": FIRST - 400 * STEP, "a": "mms_50", "b": "mms_200", "up": True}


@pytest.mark.parametrize(
    ("latest", "crossed", "later", "ending"),
    [
        ({}, [], 1, "yesterday (UTC), 9.4 % above its 200-day average."),
        ({"trend": "below"}, [], 2, "on 1 October, 9.4 % below its 200-day average."),
        (
            {},
            [CROSSED],
            1,
            "200-day average; the 50-day average crossed above it on 27 August 2025.",
        ),
        (
            {"distance_200": None},
            [CROSSED],
            1,
            "; it has no 200-day average, which needs every candle of its window.",
        ),
        (
            {"stale": True},
            [],
            4,
            "Nothing newer has arrived for 3 days: see when it was last checked.",
        ),
    ],
)
def test_the_sentence_says_what_is_and_not_more(
    run: Run, latest: dict[str, Any], crossed: list[dict[str, Any]], later: int, ending: str
) -> None:
    view = {
        "latest": LATEST | latest,
        "symbol": "BTC-BRL",
        "interval": "1d",
        "step": STEP,
        "now": FIRST + later * STEP,
    }
    sentence = run("m.sentenceOf(x.view, x.crossed, m.words)", {"view": view, "crossed": crossed})
    assert sentence.startswith("BTC-BRL closed at 439,605.68 ")
    assert sentence.endswith(ending)


def test_every_offered_range_fits_a_reply(run: Run) -> None:
    offered = run(
        "Object.keys(m.STEPS).flatMap(i => m.ranges(i, 5000).map(r => [i, r, m.seconds(r), m.STEPS[i]]))"
    )
    assert {interval for interval, *_ in offered} == {"1m", "15m", "1h", "3h", "1d"}
    for _, name, seconds, step in offered:
        assert name == "all" or 20 <= seconds / step <= 1_000
    defaults = run("Object.keys(m.STEPS).map(i => m.ranges(i).includes(m.defaultRange(i)))")
    assert all(defaults)
