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


def test_an_event_is_one_json_object_with_its_fields() -> None:
    stream = io.StringIO()
    configure("INFO", "json", stream)
    structlog.get_logger().info("series_loaded", pair="BRLBTC", rows=564)
    [line] = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["event"]) == ("info", "series_loaded")
    assert (line["pair"], line["rows"]) == ("BRLBTC", 564)


def test_a_library_record_takes_the_same_way() -> None:
    stream = io.StringIO()
    configure("INFO", "json", stream)
    logging.getLogger("alembic.command").warning("upgrade to %s", "0001")
    [line] = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == (
        "upgrade to 0001",
        "warning",
        "alembic.command",
    )


def test_what_is_bound_to_the_request_is_in_every_line_of_it() -> None:
    stream = io.StringIO()
    configure("INFO", "json", stream)
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger().info("one")
        logging.getLogger("somebody").error("two")
    structlog.get_logger().info("three")
    assert [line.get("request_id") for line in lines(stream)] == ["abc", "abc", None]


def test_less_than_the_level_is_not_said_by_anyone() -> None:
    stream = io.StringIO()
    configure("WARNING", "json", stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("somebody").info("quiet")
    structlog.get_logger().warning("loud")
    logging.getLogger("somebody").warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud", "loud"]


def test_an_exception_is_one_line_with_its_traceback() -> None:
    stream = io.StringIO()
    configure("INFO", "json", stream)
    try:
        raise ValueError("halfway")
    except ValueError:
        structlog.get_logger().exception("load_failed")
        logging.getLogger("somebody").exception("theirs")
    for line in lines(stream):
        assert line["level"] == "error"
        assert "ValueError: halfway" in line["exception"]


def test_a_terminal_gets_text_and_everything_else_json() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        configure("INFO", "auto", stream)
        structlog.get_logger().info("series_loaded", rows=3)
    assert "\x1b[" in terminal.getvalue()
    assert "series_loaded" in terminal.getvalue()
    assert lines(pipe)[0]["rows"] == 3
    asked = Terminal()
    configure("INFO", "json", asked)
    structlog.get_logger().info("series_loaded", rows=3)
    assert lines(asked)[0]["rows"] == 3


def test_text_from_outside_can_neither_forge_a_line_nor_drive_the_terminal() -> None:
    stream = io.StringIO()
    configure("INFO", "console", stream)
    structlog.get_logger().info("odd", said="a\nb\x1b[31m\ud800")
    assert stream.getvalue().count("\n") == 1
    assert r"a\nb\x1b[31m\ud800" in stream.getvalue()


def test_a_traceback_shows_no_local_variable() -> None:
    stream = io.StringIO()
    configure("INFO", "console", stream)
    secret = "hunter" + "2"
    try:
        int(secret[:0] or "x")
    except ValueError:
        structlog.get_logger().exception("load_failed")
    assert "ValueError" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_configuring_again_replaces_and_does_not_double() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("INFO", "json", first)
    configure("INFO", "json", second)
    logging.getLogger("somebody").warning("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_without_a_stream_the_log_follows_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("INFO", "json")
    with contextlib.redirect_stderr(io.StringIO()) as elsewhere:
        structlog.get_logger().info("one")
        logging.getLogger("somebody").info("two")
    structlog.get_logger().info("three")
    assert [line["event"] for line in lines(elsewhere)] == ["one", "two"]
    assert "three" in capsys.readouterr().err


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


def test_a_record_that_cannot_be_formatted_breaks_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("INFO", "json")
    # Alone with the record: pytest's own handlers raise what they cannot format.
    root = logging.getLogger()
    root.handlers[:] = root.handlers[-1:]
    logging.getLogger("somebody").warning("%d candles", "many")
    assert "Logging error" in capsys.readouterr().err


def test_a_line_that_must_not_be_missing_is_logged_at_every_level() -> None:
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        stream = io.StringIO()
        configure(level, "json", stream)
        always().info("heartbeat", code=0)
        [line] = lines(stream)
        assert (line["event"], line["level"], line["code"]) == ("heartbeat", "info", 0)
        structlog.get_logger().debug("other")
        assert len(lines(stream)) == (2 if level == "DEBUG" else 1)
