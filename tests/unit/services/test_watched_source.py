"""What /health knows of the price source: the last request of this process."""

from __future__ import annotations

import pytest

from app.core.errors import OutOfTurn, UpstreamError, UpstreamUnavailable
from app.core.prices import Coin
from app.services.health import Health, WatchedSource
from tests.support.api import FakePrices


def test_the_last_request_tells_and_one_that_never_went_out_says_nothing() -> None:
    source = FakePrices()
    watched = WatchedSource(source, lambda: 0.0, forget_after=900)
    health = Health(lambda: None, None, watched)

    def after(trouble: UpstreamError | None) -> bool:
        source.trouble = trouble
        if trouble is None:
            watched.prices([Coin("BTC", "bitcoin")], "usd")
        else:
            with pytest.raises(type(trouble)):
                watched.prices([Coin("BTC", "bitcoin")], "usd")
        return health.prices_fail()

    turn = OutOfTurn("later", host="x")
    assert [after(each) for each in (turn, UpstreamUnavailable("away", host="x"), turn, None)] == [
        False,
        True,
        True,
        False,
    ]
