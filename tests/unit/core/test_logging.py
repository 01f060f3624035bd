"""One pipeline for our events and for every library's records."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app.core.logging import always, configure
from tests.support.logs import log_as_before


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with log_as_before():
        yield


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_and_a_librarys_record_are_each_one_json_object_with_what_is_bound() -> None:
    stream = io.StringIO()
    configure("INFO", "json", stream)
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger().info("series_loaded", pair="BRLBTC", rows=564)
        logging.getLogger("alembic.command").warning("upgrade to %s", "0001")
    structlog.get_logger().info("later")
    own, theirs, later = lines(stream)
    assert list(own)[:3] == ["timestamp", "level", "event"]
    assert own.pop("timestamp").endswith("Z")
    assert own == {
        "level": "info",
        "event": "series_loaded",
        "pair": "BRLBTC",
        "rows": 564,
        "request_id": "abc",
    }
    assert (theirs["event"], theirs["level"]) == ("upgrade to 0001", "warning")
    assert (theirs["logger"], theirs["request_id"]) == ("alembic.command", "abc")
    assert "request_id" not in later


def test_less_than_the_level_is_not_said_by_anyone() -> None:
    stream = io.StringIO()
    configure("WARNING", "json", stream)
    for log in (structlog.get_logger(), logging.getLogger("somebody")):
        log.info("quiet")
        log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud", "loud"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_an_exception_has_its_traceback_and_no_local_variable(style: Any) -> None:
    stream = io.StringIO()
    configure("INFO", style, stream)
    secret = "hunter" + "2"
    try:
        int(secret[:0] or "x")
    except ValueError:
        structlog.get_logger().exception("load_failed")
        logging.getLogger("somebody").exception("theirs")
    assert stream.getvalue().count("ValueError: ") == 2
    assert "hunter2" not in stream.getvalue()
    if style == "json":
        assert [line["level"] for line in lines(stream)] == ["error", "error"]


@pytest.mark.parametrize(
    ("style", "stream", "text"),
    [
        ("auto", Terminal(), True),
        ("auto", io.StringIO(), False),
        ("json", Terminal(), False),
        ("console", io.StringIO(), True),
    ],
)
def test_a_terminal_gets_text_and_everything_else_json_unless_the_format_is_chosen(
    style: Any, stream: io.StringIO, text: bool
) -> None:
    configure("INFO", style, stream)
    structlog.get_logger().info("series_loaded", rows=3)
    assert ("\x1b[" in stream.getvalue()) is (text and stream.isatty())
    if text:
        assert "series_loaded" in stream.getvalue()
    else:
        assert lines(stream)[0]["rows"] == 3


def test_text_from_outside_can_neither_forge_a_line_nor_drive_the_terminal() -> None:
    stream = io.StringIO()
    configure("INFO", "console", stream)
    structlog.get_logger().info("odd", said="a\nb\x1b[31m\ud800")
    assert stream.getvalue().count("\n") == 1
    assert r"a\nb\x1b[31m\ud800" in stream.getvalue()


def test_without_a_stream_the_log_follows_standard_error() -> None:
    configure("INFO", "json", io.StringIO())
    configure("INFO", "json")  # replaces what was configured before
    with contextlib.redirect_stderr(io.StringIO()) as elsewhere:
        structlog.get_logger().info("one")
        logging.getLogger("somebody").info("two")
    assert [line["event"] for line in lines(elsewhere)] == ["one", "two"]


def test_the_server_speaks_through_us_and_writes_no_access_line_of_its_own() -> None:
    own = logging.StreamHandler(io.StringIO())
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).addHandler(own)
        logging.getLogger(name).propagate = False
    stream = io.StringIO()
    configure("INFO", "json", stream)
    logging.getLogger("uvicorn.error").info("Started")
    assert [line["event"] for line in lines(stream)] == ["Started"]
    # This is how uvicorn decides whether to write access lines at all.
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_a_line_that_must_not_be_missing_is_logged_at_every_level() -> None:
    stream = io.StringIO()
    configure("ERROR", "json", stream)
    always().info("heartbeat", code=0)
    [line] = lines(stream)
    assert (line["event"], line["level"], line["code"]) == ("heartbeat", "info", 0)
