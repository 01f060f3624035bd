"""The sandbox replays what was recorded."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path

from app.core.market import Interval
from app.sandbox.exchange import COINGECKO_PATH
from app.sandbox.options import build_exchange, parser
from app.sandbox.recording import read_recording


def test_the_recorded_reply_and_its_table_hold_the_same_candles(recordings: Path) -> None:
    folder = recordings / "mb_api"
    reply = read_recording(folder / "legacy_v4_candle_BRLBTC_1d_2022-01-02_2024-03.raw.json")
    table = read_recording(folder / "legacy_v4_candle_BRLBTC_1d.csv")
    assert len(reply.bars) == 819
    assert reply.interval is Interval.DAY
    assert reply.server_time == 1_711_829_417
    assert reply.last_closed() == reply.bars[-2].stamp
    assert reply.bars == table.bars


def test_the_interactions_that_were_recorded_are_replayed(recordings: Path) -> None:
    file = recordings / "coingecko" / "dev_recorded_to_2024.jsonl"
    exchange = build_exchange(parser().parse_args(["--prices", str(file)]), time.time)
    asked = f"{COINGECKO_PATH}/simple/price?ids=ethereum&vs_currencies=usd&precision=full"
    replies = [json.loads(exchange.answer(asked).body, parse_float=Decimal) for _ in range(3)]
    found = [reply["ethereum"]["usd"] for reply in replies]
    assert found == [Decimal("1667.18"), Decimal("2520.81"), Decimal("2520.81")]
