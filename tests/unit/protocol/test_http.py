"""One connection: what it answers, and what it cuts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from tests.support.processes import DEADLINE
from tests.support.protocol import AtOnce, RecordingTransport, Served

GET = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
LATER = b"GET /later HTTP/1.1\r\nhost: here\r\n\r\n"


def post(length: int, body: bytes = b"") -> bytes:
    """A request whose head promises a body of this length."""
    return b"POST /body HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n" % length + body


def statuses(transport: RecordingTransport) -> list[int]:
    """The statuses of the replies so far."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", transport.sent())]


def run(exchange: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an exchange in a loop of its own."""
    asyncio.run(asyncio.wait_for(exchange(), DEADLINE))


async def turns(count: int = 20) -> None:
    """Let the loop run, and tasks that wait for nothing end."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_silent_connection_is_closed_without_a_reply() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        server.connect(transport)
        server.after(9.9)
        assert transport.told == []
        server.after(0.1)
        assert transport.told == ["close"]

    run(exchange)


def test_a_head_that_drips_is_answered_with_408_when_its_time_is_over() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        for part in (b"GET / HT", b"TP/1.1\r\n", b"host:"):
            connection.data_received(part)
            server.after(3)
        connection.data_received(b" he")
        server.after(1)
        await turns()
        assert server.app.refusals == [(408, "The request's head was not complete after 10 s.")]
        assert statuses(transport) == [408]
        assert b"connection: close" in transport.sent()

    run(exchange)


def test_the_time_of_a_next_head_begins_with_its_first_byte() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(GET)
        server.after(60)
        connection.data_received(b"G")
        server.after(9.9)
        assert not transport.closed
        server.after(0.1)
        await turns()
        assert statuses(transport) == [200, 408]

    run(exchange)


def test_a_kept_connection_is_closed_after_its_time() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        server.connect(transport).data_received(GET)
        await turns()
        server.after(74.9)
        assert transport.told[-1] != "close"
        server.after(0.1)
        assert transport.told[-1] == "close"
        assert statuses(transport) == [200]

    run(exchange)


def test_a_request_begins_when_its_body_is_complete() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(post(4, b"12"))
        assert server.app.paths == []
        connection.data_received(b"34")
        assert server.app.paths == ["/body"]
        connection.data_received(post(4, b"12"))
        server.after(10)
        await turns()
        assert server.app.refusals == [(408, "The request's body was not complete after 10 s.")]
        assert server.app.paths == ["/body"]
        assert statuses(transport) == [200, 408]

    run(exchange)


def test_a_client_that_asks_before_it_sends_a_body_is_told_to_go_on() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(post(2).replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))
        await turns()
        assert transport.sent() == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.data_received(b"12")
        await turns()
        assert statuses(transport) == [100, 200]

    run(exchange)


def test_where_no_body_follows_nobody_is_told_to_go_on() -> None:
    class Reading(AtOnce):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await super().__call__(scope, receive, send)

    async def exchange() -> None:
        server, transport = Served(Reading()), RecordingTransport()
        server.app.may_answer.set()
        server.connect(transport).data_received(LATER[:-2] + b"expect: 100-continue\r\n\r\n")
        await turns()
        assert statuses(transport) == [200]

    run(exchange)


def test_a_body_that_is_too_large_as_it_is_sent_is_not_read() -> None:
    chunk = b"400\r\n" + bytes(1024) + b"\r\n"
    endless = b"1;" + bytes(60_000)

    async def exchange() -> None:
        for body in (chunk * 17, endless.replace(b"\0", b"a")):
            server, transport = Served(), RecordingTransport()
            connection = server.connect(transport)
            head = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
            connection.data_received(head + body)
            await turns()
            assert statuses(transport) == [413]
            assert server.app.paths == []

    run(exchange)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (post(4, b"12"), (b"POST", b"/body")),
        (post(1_000_000), (b"POST", b"/body")),
        (b"GET /here?a=1 HTTP/1.1\r\n\r\n", (b"GET", b"/here?a=1")),
        (b"GET /here HTTP/1.1\r\nhost: he", (b"", b"")),
        (b"\x16\x03\x01", (b"", b"")),
    ],
    ids=["late body", "large body", "no host", "half a head", "no HTTP"],
)
def test_the_log_learns_what_was_read_of_a_refused_request(
    sent: bytes, read: tuple[bytes, bytes]
) -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        server.connect(transport).data_received(GET + sent)
        server.after(10)
        await turns()
        assert server.app.refused == [read]

    run(exchange)


def test_a_head_that_is_too_large_is_refused_however_it_is_sent() -> None:
    def head(size: int) -> bytes:
        start = b"GET / HTTP/1.1\r\nhost: here\r\na: "
        return start + b"b" * (size - len(start))

    async def exchange() -> None:
        for sent, pieces, expected in (
            (head(32_700) + b"\r\n\r\n", 1, [200]),
            (head(32_700) + b"\r\n\r\n", 99, [200]),
            (head(33_000) + b"\r\n\r\n", 1, [431]),
            (head(33_000) + b"\r\n\r\n", 99, [431]),
            (head(200_000), 3, [431]),
            (GET + head(33_000) + b"\r\n\r\n", 1, [200, 431]),
        ):
            server, transport = Served(), RecordingTransport()
            connection = server.connect(transport)
            length = -(-len(sent) // pieces)
            for start in range(0, len(sent), length):
                connection.data_received(sent[start : start + length])
            await turns()
            assert statuses(transport) == expected, (len(sent), pieces)

    run(exchange)


def test_an_address_that_the_parser_cannot_read_is_refused_after_what_was_sent_before_it() -> None:
    long = post(2, b"12").replace(b"/body", b"/" + b"a" * 65_535)

    async def exchange() -> None:
        server, transport = Served(limits={"max_header_bytes": 1_048_576}), RecordingTransport()
        server.app.may_answer.set()
        server.connect(transport).data_received(LATER + post(2, b"12") + long)
        await turns(100)
        assert statuses(transport) == [200, 200, 431]

    run(exchange)


def test_after_an_upgrade_nothing_more_is_a_request() -> None:
    upgrade = LATER.replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")

    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(upgrade + GET)
        connection.data_received(GET)
        server.app.may_answer.set()
        await turns()
        assert server.app.paths == ["/later"]
        assert statuses(transport) == [200]
        assert b"connection: close" in transport.sent()
        # What still arrives is read: closed with data unread, the reply could be lost.
        assert transport.told[-1] == "eof"
        connection.data_received(GET)
        server.after(2)
        assert transport.told[-1] == "abort"
        assert server.app.paths == ["/later"]

    run(exchange)


def test_trailers_are_no_headers() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        sent = (
            b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
            b"1\r\na\r\n0\r\nx-request-id: other\r\n\r\n"
        )
        server.connect(transport).data_received(sent)
        assert [name for name, _ in server.app.headers[0]] == [b"host", b"transfer-encoding"]

    run(exchange)


def test_what_is_wrong_behind_a_request_is_answered_after_it() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(LATER + b"\x01\r\n\r\n")
        await turns()
        assert transport.sent() == b""
        server.app.may_answer.set()
        await turns()
        assert statuses(transport) == [200, 400]

    run(exchange)


def test_a_reader_that_takes_nothing_is_cut_and_one_that_takes_little_is_not() -> None:
    async def exchange() -> None:
        server = Served()
        nothing, little = RecordingTransport(), RecordingTransport()
        for transport in (nothing, little):
            server.connect(transport).data_received(GET)
            transport.unsent = 1_000_000
        await turns()
        for _ in range(40):
            little.unsent -= 1
            server.after(2)
        assert nothing.told[-1] == "abort"
        # A client that has taken all of a reply after a long time may ask for the next one.
        little.unsent = 0
        server.after(0.5)
        assert not little.closed

    run(exchange)


def test_while_the_server_drains_each_reply_is_the_last_of_its_connection() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(GET)
        await turns()
        assert b"connection: close" not in transport.sent()
        server.draining.set()
        connection.data_received(GET)
        await turns()
        assert statuses(transport) == [200, 200]
        assert b"connection: close" in transport.sent()
        assert transport.closed

    run(exchange)


def test_thousands_of_requests_at_once_let_others_have_their_turn() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(GET * 1_000)
        assert 0 < len(server.app.paths) < 200
        connection.data_received(GET * 10)
        await turns(200)
        assert len(server.app.paths) == 1_010
        # A head that is not complete yet is waited for.
        connection.data_received(GET * 200 + GET[:9])
        await turns(200)
        assert [told for told in transport.told if told in ("pause", "resume")][-1] == "resume"

    run(exchange)


def test_a_client_that_leaves_takes_its_requests_with_it() -> None:
    async def exchange() -> None:
        server, transport = Served(), RecordingTransport()
        connection = server.connect(transport)
        connection.data_received(LATER + LATER)
        await turns()
        connection.connection_lost(None)
        server.app.may_answer.set()
        await turns()
        assert server.app.paths == ["/later"]
        assert transport.sent() == b""

    run(exchange)


def test_a_fault_of_ours_is_logged_and_cuts_the_connection() -> None:
    class Broken(AtOnce):
        def answer_now(self, scope: Any, send_whole: Any) -> bool:
            raise LookupError("a fault")

    async def exchange() -> None:
        server, transport = Served(Broken()), RecordingTransport()
        server.connect(transport).data_received(GET)
        assert transport.told == ["abort"]

    with capture_logs() as lines:
        run(exchange)
    assert [line["event"] for line in lines] == ["protocol_crashed"]


def test_a_request_that_arrives_as_the_server_stops_is_answered_and_the_last() -> None:
    async def stopped() -> tuple[RecordingTransport, RecordingTransport]:
        server, transports = Served(), (RecordingTransport(), RecordingTransport())
        asking, idle = map(server.connect, transports)
        for each in (asking, idle):
            each.shutdown()
        asking.data_received(GET)
        async with asyncio.timeout(DEADLINE):
            while not all(transport.closed for transport in transports):
                await asyncio.sleep(0.01)
        return transports

    asking, idle = asyncio.run(stopped())
    [reply, close] = asking.told[:2]
    assert b"connection: close" in b"".join(reply)
    assert close == "close"
    assert idle.told == ["close"]


class Finishing:
    """An application that has a reply to /ready at hand, and remembers which requests it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def answer_now(self, scope: Scope, send_whole: Any) -> bool:
        if scope["path"] != "/ready":
            return False
        send_whole(200, b"content-length: 0\r\n", b"")
        self.ended.append(scope["path"])
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        self.ended.append(scope["path"])


def test_of_requests_that_were_sent_at_once_none_ends_before_the_one_in_front_of_it() -> None:
    async def ends() -> list[str]:
        app = Finishing()
        connection = Served(app).connect(RecordingTransport())
        for path in (b"/ready", b"/made", b"/ready", b"/made"):
            connection.data_received(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)
        for _ in range(100):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return app.ended

    assert asyncio.run(ends()) == ["/ready", "/made", "/ready", "/made"]


def test_a_client_that_ends_its_side_after_the_request_gets_its_reply() -> None:
    async def half_closed() -> RecordingTransport:
        transport = RecordingTransport()
        connection = Served().connect(transport)
        connection.data_received(GET)
        connection.eof_received()
        transport.close()
        await asyncio.sleep(0)
        connection.connection_lost(None)
        return transport

    [reply, *_] = asyncio.run(half_closed()).told
    assert reply[-1] == b"{}"
