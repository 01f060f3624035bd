"""No volume loses a close: from a recording, over HTTP, to the database and to a reply."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

from app.core.market import DAY
from app.sandbox.exchange import LEGACY_PATH, V4_PATH
from app.sandbox.options import build_exchange, parser
from app.sandbox.server import serve
from tests.support.commands import Service, days_ago
from tests.support.processes import api_server

LOADER = "workers.initial_loader"
VOLUMES = {
    "92233720368.54775807": Decimal("92233720368.54775807"),
    "92233720368.54775808": Decimal("92233720368.54775808"),
    "2762299281351": Decimal("2762299281351"),
    "0.123456789012345": Decimal("0.123456789012345"),
    "": None,
    "NaN": None,
    "-1": None,
}


def test_a_recording_with_any_volumes_is_loaded_served_and_complete(
    tmp_path: Path, db_url: str
) -> None:
    # Each of the two databases with one of the two formats: neither knows of the other.
    source = "mercado_bitcoin" if db_url.startswith("sqlite") else "mercado_bitcoin_legacy"
    first = days_ago(len(VOLUMES) - 1)
    rows = [f"{first + n * DAY},2,3,1,2,{volume}" for n, volume in enumerate(VOLUMES)]
    recording = tmp_path / "candles.csv"
    recording.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    options = parser().parse_args(["--replay", str(recording)])
    exchange = build_exchange(options, time.time)
    with serve(exchange) as url:
        settings = {
            "DB_URL": db_url,
            "CANDLE_SOURCE": source,
            "MB_API_BASE_URL": url + V4_PATH,
            "MB_LEGACY_API_BASE_URL": url + LEGACY_PATH,
            "MB_REQUESTS_PER_SECOND": "1000",
            "ALLOWED_PAIRS": "BRLBTC",
            "HISTORY_DAYS": str(len(VOLUMES)),
        }
        loaded = Service(exchange, tmp_path, settings).run(LOADER)
    assert loaded.code == 0
    counts = {name: loaded.series[name] for name in ("inserted", "refused", "without_volume")}
    assert counts == {"inserted": len(VOLUMES), "refused": 0, "without_volume": 3}
    with api_server(settings, tmp_path) as api:
        candles = api.ask("GET", "/BRLBTC/candles")[2]
        assert [candle["volume"] for candle in candles] == list(VOLUMES.values())
        assert {candle["close"] for candle in candles} == {2}
        notes = api.ask("GET", "/BRLBTC/quarantine")[2]
        assert [(note["timestamp"], note["used"]) for note in notes] == [
            (candle["timestamp"], True) for candle in candles[:-4:-1]
        ]
        gaps = api.ask("GET", "/BRLBTC/gaps")[2]
        assert (gaps["missing"], gaps["quarantined"]) == (0, 0)
