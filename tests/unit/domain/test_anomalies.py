"""One price is judged by those before it, exactly, and the judgement says why."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.market import Exact
from app.domain.anomalies import (
    CONSISTENCY,
    Judgement,
    Method,
    Outcome,
    RelativeRule,
    RobustRule,
    Rule,
    judge,
)
from app.domain.fixed_point import SCALE, kept, text

HIGHEST = 2**63 - 1
FIVE_PERCENT = RelativeRule(Decimal("0.05"))
RULES: list[Rule] = [FIVE_PERCENT, RobustRule()]

prices_strategy = st.integers(1, HIGHEST)
thresholds = st.integers(1, 1000 * SCALE).map(lambda units: Decimal(units).scaleb(-8))


@st.composite
def robust_rules(draw: st.DrawFn) -> RobustRule:
    window = draw(st.integers(2, 12))
    return RobustRule(
        window=window,
        minimum=draw(st.integers(2, window)),
        multiple=draw(st.sampled_from([Decimal("0.5"), Decimal(1), Decimal("3.5"), Decimal(6)])),
        floor=draw(st.sampled_from([Decimal("0.00000001"), Decimal("0.005"), Decimal("0.5")])),
    )


rules = st.one_of(thresholds.map(RelativeRule), robust_rules())
# Few different prices make ties, flat stretches and changes exactly on the limit frequent.
series = st.one_of(
    st.lists(st.integers(1, 12), max_size=20),
    st.lists(st.integers(10**6, 10**6 + 20_000), max_size=20),
    st.lists(prices_strategy, max_size=20),
)


def verdict(*prices: str, rule: Rule = FIVE_PERCENT) -> Outcome:
    """The outcome for prices as decimal text."""
    return judge([kept(price) for price in prices], rule).outcome


def walk(changes: list[str], start: int = 10**12) -> list[int]:
    """Prices that change by these fractions, one after the other."""
    prices = [start]
    for change in changes:
        prices.append(round(prices[-1] * (1 + Fraction(change))))
    return prices


@pytest.mark.parametrize(
    ("previous", "latest", "expected"),
    [
        ("0.50", "5.00", Outcome.ANOMALOUS),
        ("60000", "60101", Outcome.NORMAL),
        ("60000", "63600", Outcome.ANOMALOUS),
        ("60000", "62940", Outcome.NORMAL),
        ("60000", "63000", Outcome.NORMAL),
        ("60000", "63000.00000001", Outcome.ANOMALOUS),
        ("60000", "57000", Outcome.NORMAL),
        ("60000", "56999.99999999", Outcome.ANOMALOUS),
        ("1", "1", Outcome.NORMAL),
        ("0.00000001", "92233720368.54775807", Outcome.ANOMALOUS),
        ("92233720368.54775807", "0.00000001", Outcome.ANOMALOUS),
        # finer than 1e-8, and larger than 64 bits
        ("1e-9", "1.049e-9", Outcome.NORMAL),
        ("1e-9", "1.05e-9", Outcome.NORMAL),
        ("1e-9", "1.0500000000001e-9", Outcome.ANOMALOUS),
        ("1e-9", "1.052e-9", Outcome.ANOMALOUS),
        ("1.4e-8", "1.51e-8", Outcome.ANOMALOUS),
        ("1.4e-8", "1.33e-8", Outcome.NORMAL),
        ("9.9999e-9", "1.0e-8", Outcome.NORMAL),
        ("1234567890123456.7", "1296296284629629.53", Outcome.NORMAL),
        ("1234567890123456.7", "1296296284629629.6", Outcome.ANOMALOUS),
        ("1e-40", "9e39", Outcome.ANOMALOUS),
    ],
)
def test_a_change_must_exceed_the_threshold(previous: str, latest: str, expected: Outcome) -> None:
    assert verdict(previous, latest) is expected


def test_one_tick_more_than_the_threshold_is_seen_in_the_longest_prices() -> None:
    previous = int("8" * 78 + "20")
    for extra, expected in ((0, Outcome.NORMAL), (1, Outcome.ANOMALOUS)):
        written = [
            f"{n // 10**40}.{n % 10**40:040}" for n in (previous, previous // 20 * 21 + extra)
        ]
        assert verdict(*written) is expected


@given(previous=prices_strategy, latest=prices_strategy, threshold=thresholds)
def test_the_relative_verdict_is_that_of_integers(
    previous: int, latest: int, threshold: Decimal
) -> None:
    found = judge([previous, latest], RelativeRule(threshold))
    exceeds = abs(latest - previous) * SCALE > int(threshold * SCALE) * previous
    assert found.anomalous is exceeds
    assert found.change == round(Fraction((latest - previous) * SCALE, previous))
    assert (found.latest, found.previous) == (latest, previous)
    assert (found.usual, found.threshold) == (0, int(threshold * SCALE))


@given(prices=series, rule=robust_rules())
@example(prices=[100] * 4 + [101], rule=RobustRule(3, 3, Decimal(1), Decimal("0.01")))
def test_the_robust_verdict_is_that_of_rational_arithmetic(
    prices: list[int], rule: RobustRule
) -> None:
    found = judge(prices, rule)
    changes = [Fraction(b - a, a) for a, b in pairwise(prices)]
    recent = changes[:-1][-rule.window :]
    if len(recent) < rule.minimum:
        assert found.outcome is Outcome.INSUFFICIENT
        assert (found.usual, found.threshold) == (None, None)
        return
    centre = median(recent)
    spread = median(abs(change - centre) for change in recent)
    limit = max(Fraction(rule.floor), Fraction(rule.multiple * CONSISTENCY) * spread)
    assert found.anomalous is (abs(changes[-1] - centre) > limit)
    assert found.usual == round(centre * SCALE)
    assert found.threshold == round(limit * SCALE)


@given(prices=series, rule=rules, factor=st.integers(2, 10**6))
def test_the_unit_of_the_prices_does_not_matter(prices: list[int], rule: Rule, factor: int) -> None:
    scaled = [kept(f"{price}e-30") for price in (price * factor for price in prices)]
    found, other = judge(prices, rule), judge(scaled, rule)
    assert what(found) == what(other)
    assert other.latest == (scaled[-1] if scaled else None)


def what(judgement: Judgement) -> tuple[object, ...]:
    """A judgement without the two prices."""
    return (
        judgement.outcome,
        judgement.method,
        judgement.change,
        judgement.usual,
        judgement.threshold,
        judgement.reason,
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_in_a_flat_series_the_floor_is_the_limit(sign: int) -> None:
    flat = [100 * SCALE] * 40
    edge = 100 * SCALE + sign * SCALE // 2
    assert judge([*flat, edge], RobustRule()).outcome is Outcome.NORMAL
    assert judge([*flat, edge + sign], RobustRule()).anomalous


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("prices", [[], [7]])
def test_without_two_prices_there_is_nothing_to_judge(rule: Rule, prices: list[int]) -> None:
    found = judge(prices, rule)
    assert found.outcome is Outcome.INSUFFICIENT
    assert not found.anomalous
    assert found.latest == (prices[0] if prices else None)
    assert (found.previous, found.change) == (None, None)
    assert found.method is rule.method


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [0, -1, "-0.000000001"])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_price_is_refused(rule: Rule, bad: Exact, place: int) -> None:
    prices: list[Exact] = [100, 100]
    prices[place] = bad
    with pytest.raises(ValueError, match=rf"The price {text(bad)} cannot be judged: .* above 0"):
        judge(prices, rule)


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ([], "No price is known yet: a change takes two."),
        (["1"], "Only one current price is known: a change takes two."),
        (["1", "1"], "The price did not change; that is within the threshold of 5 %."),
        (["0.50", "5.00"], "The price rose by 900 %; that exceeds the threshold of 5 %."),
        (["1.4e-8", "1.51e-8"], "The price rose by 7.857143 %; that exceeds the threshold of 5 %."),
    ],
)
def test_the_reason_of_the_relative_rule_is_a_sentence(prices: list[str], reason: str) -> None:
    assert judge([kept(price) for price in prices], FIVE_PERCENT).reason == reason


def test_the_reason_of_the_robust_rule_names_what_is_usual() -> None:
    rule = RobustRule()
    few = judge(walk(["0"] * 5), rule)
    assert few.reason.startswith("Only 4 of the last 30 changes before this one are known: ")
    calm = judge(walk([*["0"] * 29, "-0.004"]), rule)
    assert "fell by 0.4 %, within the range from -0.5 % to 0.5 %" in calm.reason
    jump = judge(walk([*["0.01", "0.02", "0.03"] * 10, "0.5"]), rule)
    assert jump.method is Method.ROBUST
    assert "rose by 50 %, outside the range from -6.89" in jump.reason
