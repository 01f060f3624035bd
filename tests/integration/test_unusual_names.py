"""Names of other letters and signs, from the exchange's address to ours, with real services."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import quote

from app.core.market import Pair
from app.core.prices import Coin
from app.sandbox.exchange import Exchange
from app.sandbox.prices import SimulatedPrices
from app.sandbox.simulation import Simulation
from tests.support.commands import Service, service
from tests.support.memcached import Memcached
from tests.support.served import api, get

PAIRS = [Pair("S", "BRL"), Pair("$币安人生 +%?#", "BRL"), Pair("A-B", "BRL")]
COINS = [Coin("1/2 $X", "-2"), Coin("𝕏" * 40, "_"), Coin("币安人生", "[bsc] 人生(v2)&x=1")]
NAMES = {
    "ALLOWED_PAIRS": ",".join(pair.symbol for pair in PAIRS),
    "ALLOWED_SYMBOLS": ",".join(f"{coin.symbol.lower()}:{coin.id}" for coin in COINS),
}


def test_every_name_is_loaded_cached_and_served_as_itself(
    tmp_path: Path, memcached: Memcached, db_url: str
) -> None:
    # Each of the two databases with one of the two formats: neither knows of the other.
    source = "mercado_bitcoin" if db_url.startswith("sqlite") else "mercado_bitcoin_legacy"
    exchange = Exchange(
        Simulation(7, dict.fromkeys(PAIRS)), clock=time.time, prices=SimulatedPrices(7, COINS)
    )
    settings = NAMES | {"DB_URL": db_url, "CANDLE_SOURCE": source, "CACHE_URL": memcached.url}
    with service(tmp_path, exchange, **settings) as shop:
        legacy = {
            "MB_LEGACY_API_BASE_URL": shop.settings["MB_API_BASE_URL"].replace("/api/v4", "/v4")
        }
        loaded = shop.run("workers.initial_loader", **legacy)
        assert loaded.code == 0, loaded.said
        some = shop.run("workers.incremental_loader", "--pairs", PAIRS[1].legacy.lower(), **legacy)
        assert [item["pair"] for item in some.summary["series"]] == [PAIRS[1].legacy]
        assert shop.run("monitoring.gap_monitor", **legacy).code == 0
        assert shop.run("workers.price_collector", "--once").code == 0
        _served(tmp_path, shop, memcached)


def _served(folder: Path, shop: Service, memcached: Memcached) -> None:
    with api(folder, "api", **shop.settings) as served:
        connection = served.connect()
        for name in (name for pair in PAIRS for name in (pair.legacy, pair.symbol)):
            for spelt in (name, name.lower()):
                reply = get(connection, f"/{quote(spelt, safe='')}/mms?range=20")
                assert (reply.status, len(json.loads(reply.body))) == (200, 20)
                reply = get(connection, f"/{quote(spelt, safe='')}/candles?from=2011-01-02")
                assert "is stored from" in reply.headers["x-data-reason"]
        for coin in COINS:
            [price] = json.loads(get(connection, f"/history/{quote(coin.symbol, safe='')}").body)
            assert price["symbol"] == coin.symbol
            assert get(connection, f"/anomaly/{quote(coin.symbol)}").status == 200
        supported = json.loads(get(connection, "/supported-symbols").body)
        assert supported["mappings"] == {coin.symbol: coin.id for coin in COINS}
        connection.close()
        assert served.log("cache_broke", "cache_refused", "request_crashed") == []
    assert int(memcached.stats()["curr_items"]) >= len(PAIRS)
