"""CoinGecko's recorded replies: each is read to the last digit, or refused for a stated reason."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.prices import Coin
from app.sources.retry import parse_http_date
from tests.unit.sources.coingecko_fakes import ask, coingecko
from tests.unit.sources.upstream_fakes import Answer, FakeHost, answer


@dataclass(frozen=True)
class Recorded:
    """One recorded interaction."""

    url: str
    status: int
    headers: dict[str, str]
    body: str

    @property
    def is_about_prices(self) -> bool:
        return urlsplit(self.url).path.rstrip("/").endswith("/simple/price")

    @property
    def date(self) -> int:
        found = parse_http_date(self.headers["Date"])
        assert found is not None
        return found

    def reply(self, body: str | None = None) -> Answer:
        """As it came, or with another body."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        content = (self.body if body is None else body).encode()
        return answer(body=content, status=self.status, headers=headers)


@pytest.fixture
def interactions(recordings: Path) -> list[Recorded]:
    lines = (recordings / "coingecko" / "dev_recorded_to_2024.jsonl").read_text().splitlines()
    items = (json.loads(line) for line in lines)
    return [Recorded(i["url"], i["status"], i["headers"], i["body"]) for i in items]


def test_every_recorded_price_is_read_to_the_last_digit_once_it_has_a_time(
    interactions: list[Recorded],
) -> None:
    about_prices = [item for item in interactions if item.is_about_prices]
    assert len(about_prices) == 24
    for item in about_prices:
        query = parse_qs(urlsplit(item.url).query)
        (coin_id,), (currency,) = query["ids"], query["vs_currencies"]
        coin = Coin("X1", coin_id)

        def source(body: str | None, item: Recorded = item) -> FakeHost:
            return FakeHost([item.reply(body)])

        # Nobody who was recorded asked for `last_updated_at`: as it came, the age is not known.
        plain = coingecko(source(None), clock=item.date).prices([coin], currency)
        assert plain.prices == ()
        assert "last_updated_at" in plain.refused[0].reason

        timed = item.body.replace("}}", f',"last_updated_at":{item.date - 45}}}}}')
        (price,) = coingecko(source(timed), clock=item.date).prices([coin], currency).prices
        (number,) = re.findall(r":([0-9.eE+-]+)\}\}", item.body)
        exact = (Decimal(number) * 10**8).to_integral_value(ROUND_HALF_EVEN)
        assert (price.price, price.currency) == (int(exact), currency)
        assert exact == Decimal(number) * 10**8  # without `precision=full` none is finer
        assert price.priced_at == item.date - 45


@pytest.mark.parametrize(
    ("name", "coin_id", "currency", "price"),
    [
        ("jkorf_GetPrices.json", "ethereum", "usd", "1498.64"),
        ("gogecko_simple_price.json", "bitcoin", "myr", "20474"),
        ("gogecko_simple_price.json", "ethereum", "usd", "163.58"),
        ("gogecko_simple_single_price.json", "bitcoin", "usd", "5013.61"),
    ],
)
def test_the_samples_of_prices_are_read_once_they_have_a_time(
    recordings: Path, name: str, coin_id: str, currency: str, price: str
) -> None:
    coin = Coin("X1", coin_id)
    body = (recordings / "coingecko" / name).read_text()
    (refused,) = ask(answer(body=body.encode()), coin, currency=currency).refused
    assert "last_updated_at" in refused.reason
    timed = re.sub(r"([0-9])\s*\}", r'\1,"last_updated_at":1711829400}', body)
    (read,) = ask(answer(body=timed.encode()), coin, currency=currency).prices
    assert read.price == Decimal(price) * 10**8
