"""Stored prices judged: which of them count, as of which one, and what is said of too few."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.prices import Coin, SpotPrice, StoredPrice, Thresholds
from app.domain.anomalies import Outcome, RelativeRule, RobustRule, Rule
from app.services.anomalies import PriceJudgement, PriceRules, judge_newest
from app.testing.prices import MemoryPriceStore

BTC = Coin("BTC", "bitcoin")
RULES = PriceRules("usd", Thresholds(Decimal("0.05")), 900)
RELATIVE, ROBUST = RelativeRule(Decimal("0.05")), RobustRule()
AT = 1_711_800_000
UNIT = 10**8


class Prices:
    """A store whose prices are told in whole units, collected some time after their own."""

    def __init__(self) -> None:
        self.store = MemoryPriceStore()

    def add(self, price: int, priced_at: int, late: int = 30) -> StoredPrice:
        spot = SpotPrice(BTC, price * UNIT, "usd", AT + priced_at)
        [stored] = self.store.add([spot], AT + priced_at + late)
        return stored

    def judged(self, rule: Rule = RELATIVE, as_of: StoredPrice | None = None) -> PriceJudgement:
        newest = as_of or self.store.newest("BTC", "usd", 1)[0]
        return judge_newest(self.store, "BTC", RULES, rule, newest.collected_at, as_of)


@pytest.fixture
def prices() -> Prices:
    return Prices()


def test_a_jump_stays_one_however_often_its_quotation_is_collected(prices: Prices) -> None:
    prices.add(60_000, 0)
    prices.add(63_600, 300)
    alone = prices.judged()
    assert alone.judgement.outcome is Outcome.ANOMALOUS
    for late in (40, 50, 60):
        again = prices.add(63_600, 300, late)
        found = prices.judged()
        assert found.judgement == alone.judgement
        assert found.latest == again
    prices.add(63_601, 360)
    assert prices.judged().judgement.outcome is Outcome.NORMAL


def test_nothing_but_one_quotation_has_not_changed(prices: Prices) -> None:
    first = prices.add(60_000, 0)
    assert prices.judged().judgement.outcome is Outcome.INSUFFICIENT
    prices.add(60_000, 0, late=60)
    found = prices.judged()
    assert (found.judgement.outcome, found.judgement.change) == (Outcome.NORMAL, 0)
    assert found.previous == first


def test_a_stored_price_is_judged_by_those_before_it_whatever_came_since(prices: Prices) -> None:
    prices.add(60_000, 0)
    mine = prices.add(63_600, 300)
    prices.add(63_601, 300)  # another process, in the same second
    prices.add(63_602, 900)
    assert prices.judged().judgement.outcome is Outcome.NORMAL
    found = prices.judged(as_of=mine)
    assert (found.latest, found.judgement.outcome) == (mine, Outcome.ANOMALOUS)
    assert found.previous is not None
    assert found.previous.price == 60_000 * UNIT


def test_a_stored_price_is_judged_where_a_reader_does_not_show_it_yet(prices: Prices) -> None:
    prices.add(60_000, 0)
    behind = StoredPrice(99, "BTC", 63_600 * UNIT, "usd", AT + 300, AT + 330)
    found = prices.judged(as_of=behind)
    assert (found.latest, found.judgement.outcome) == (behind, Outcome.ANOMALOUS)


@pytest.mark.parametrize("stale", [1, 60, 3_000])
def test_stale_prices_do_not_hide_the_fresh_one_before_them(prices: Prices, stale: int) -> None:
    prices.add(60_000, 0)
    for number in range(stale):
        prices.add(1, 100, late=1_000 + 300 * number)
    prices.add(63_600, 2_000_000)
    found = prices.judged()
    assert found.judgement.outcome is Outcome.ANOMALOUS
    assert found.previous is not None
    assert found.previous.price == 60_000 * UNIT


def test_repeated_quotations_do_not_hide_the_ones_that_the_robust_rule_needs(
    prices: Prices,
) -> None:
    for number in range(32):
        for late in range(5):
            prices.add(60_000 + number, number * 300, late)
    assert prices.judged(ROBUST).judgement.outcome is Outcome.NORMAL
    for late in range(200):
        prices.add(66_000, 10_000, late)
    assert prices.judged(ROBUST).judgement.outcome is Outcome.ANOMALOUS


def test_a_stale_price_is_neither_judged_nor_compared_with(prices: Prices) -> None:
    prices.add(60_000, 0)
    prices.add(90_000, 100, late=4_000)
    found = prices.judged()
    assert (found.stale, found.judgement.outcome) == (True, Outcome.INSUFFICIENT)
    prices.add(60_001, 5_000)
    assert prices.judged().judgement.outcome is Outcome.NORMAL


@pytest.mark.parametrize(("wrong", "ahead"), [(10_800, "2 h 59 min"), (31_536_000, "364 d 23 h")])
def test_one_price_stamped_by_a_clock_that_was_ahead_blinds_nobody(
    prices: Prices, wrong: int, ahead: str
) -> None:
    prices.add(60_000, 0)
    prices.add(61_000, 300, late=wrong)
    found = judge_newest(prices.store, "BTC", RULES, RELATIVE, AT + 360)
    assert found.latest is not None
    assert (found.latest.price, found.stale) == (60_000 * UNIT, False)
    assert found.judgement.reason == (
        "Only one current price is known: a change takes two. A newer price is stamped "
        f"{ahead} in the future, by a clock that was ahead (unless this machine's is behind): "
        "it is not used."
    )
    last = prices.add(63_600, 600)
    found = judge_newest(prices.store, "BTC", RULES, RELATIVE, AT + 660)
    assert (found.latest, found.judgement.outcome) == (last, Outcome.ANOMALOUS)
    assert found.judgement.reason == "The price rose by 6 %; that exceeds the threshold of 5 %."
    assert found.previous is not None
    assert found.previous.price == 60_000 * UNIT


def test_one_price_stamped_by_a_clock_that_was_behind_keeps_its_place(prices: Prices) -> None:
    prices.add(60_000, 0)
    late = prices.add(63_600, 300, late=-31_536_000)
    found = judge_newest(prices.store, "BTC", RULES, RELATIVE, AT + 330)
    assert (found.latest, found.judgement.outcome) == (late, Outcome.ANOMALOUS)
    prices.add(63_601, 600)
    found = judge_newest(prices.store, "BTC", RULES, RELATIVE, AT + 630)
    assert (found.previous, found.judgement.outcome) == (late, Outcome.NORMAL)


def test_nothing_but_prices_of_the_future_is_stale_and_no_false_age_is_told(prices: Prices) -> None:
    prices.add(60_000, 10_800)
    prices.add(60_001, 10_900)
    found = judge_newest(prices.store, "BTC", RULES, RELATIVE, AT + 100)
    assert (found.stale, found.judgement.outcome) == (True, Outcome.INSUFFICIENT)
    assert (found.judgement.latest, found.previous) == (60_001 * UNIT, None)
    assert found.judgement.reason == (
        "The newest price is stamped 3 h in the future, by a clock that was ahead (unless this "
        "machine's is behind): it is not judged."
    )


@pytest.mark.parametrize(
    ("late", "now", "said"),
    [
        (
            30,
            2_000,
            "is 33 min 20 s old by its own time and this machine's clock, more than the 15 min",
        ),
        # The clock was a little ahead, and is right now.
        (960, 800, "was 16 min old by its own time when it was collected, more than the 15 min"),
    ],
)
def test_a_stale_price_is_said_to_be_as_old_as_it_is(
    prices: Prices, late: int, now: int, said: str
) -> None:
    prices.add(60_000, 0, late)
    found = judge_newest(prices.store, "BTC", RULES, RELATIVE, AT + now)
    assert found.stale
    assert said in found.judgement.reason
