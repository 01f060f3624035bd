"""Which requests are let in, in this order of questions.

Is it for a name of ours? Does a page send it that may? Does it have the key that it needs? Has its
client sent too many?
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from starlette.types import Scope

from app.api import errors
from app.api.access import Access, is_safe
from app.api.clients import Client, Clients, host_of
from app.api.fast_path import Answer
from app.api.hosts import Hosts
from app.api.origins import Origins, foreign_page
from app.api.refusals import Refusal
from app.api.reply_headers import ReplyHeaders
from app.core.ports import Clock, RequestRate
from app.core.settings import Settings

HEALTH: Final = ("/health", "/healthz", "/readyz")
"""What is answered whatever the Host and however often: who asks must not be told a lie."""

_COLLECT: Final = "/collect-once/"

UNKEYED: Final = ("/", "/docs", "/openapi.json")
"""What needs no key to read, though reads do: a browser opens it, and there are no data in it."""


Verdict = tuple[Client, bytes, str, Refusal | Answer | None]
"""What is decided about a request. A plain tuple, because every read makes one.

Its client, lines of its reply's head, the id of its API key if it needed one, and the reply where
there is nothing more to do; None: the request is let in.
"""


class Rates:
    """The rates that a request counts for, each with its name, and their lines of a head.

    The lines are those of draft-ietf-httpapi-ratelimit-headers-12.
    """

    def __init__(self, rates: Sequence[tuple[str, RequestRate]]) -> None:
        self._rates = [rate for _, rate in rates]
        policies = [f'"{name}";q={each.rate.count};w={each.rate.seconds}' for name, each in rates]
        states = [f'"{name}";r=%d;t=%d' for name, _ in rates]
        text = f"ratelimit-policy: {', '.join(policies)}\r\nratelimit: {', '.join(states)}\r\n"
        self._lines = text.encode("ascii") if rates else b""

    def take(self, client: str) -> tuple[bytes, int]:
        """Count a request of a client; returns the lines, and the seconds to wait, 0 if it passes.

        It passes if all rates let it; else it counts for none.
        """
        rates = self._rates
        if not rates:
            return b"", 0
        if len(rates) == 1:  # of every read
            left, seconds = rates[0].take(client)
            if left >= 0:
                return self._lines % (left, seconds), 0
        quotas = [rate.left(client) for rate in rates]
        wait = max((seconds for left, seconds in quotas if left < 0), default=0)
        if not wait:
            quotas = [rate.take(client) for rate in rates]
        shown = chain.from_iterable((max(0, left), seconds) for left, seconds in quotas)
        return self._lines % tuple(shown), wait

    def exceeded(self, client: Client, wait: int) -> Refusal:
        """The refusal of a request that has to wait for so many seconds."""
        most = " and ".join(str(rate.rate) for rate in self._rates)
        return Refusal(
            errors.RATE_LIMITED,
            f"{client.key} has sent as many requests as one client may ({most}): "
            f"try again in {wait} s.",
            [(b"retry-after", str(wait).encode("ascii"))],
        )


class Admission:
    """Decides about requests; the rates `rate` and `collect` count those that are let in."""

    def __init__(
        self,
        settings: Settings,
        rate: RequestRate | None,
        collect: RequestRate | None,
        clock: Clock,
        headers: ReplyHeaders,
    ) -> None:
        self._clients = Clients(settings.trusted_proxies)
        self._hosts = Hosts(settings.allowed_hosts, settings.host)
        self._origins = Origins(settings.cors_origins, headers)
        self._access = Access(settings, clock)
        self._direct = self._clients.direct
        self._allowed = self._hosts.allowed
        self._open = self._access.reads_are_open and not self._origins
        roots = {"", settings.root_path}
        self._health = frozenset(root + path for root in roots for path in HEALTH)
        # The path that the API is under may be written without the slash at its end.
        self._unkeyed = frozenset(root + path for root in roots for path in ("", *UNKEYED))
        self._loaded = tuple(root + path for root in roots for path in ("/docs/", "/page/"))
        self._collect = tuple(root + _COLLECT for root in roots)
        reads = [] if rate is None else [("default", rate)]
        collects = [] if collect is None else [("collect", collect)]
        self._rates = Rates(reads)
        self._rates_collect = Rates(reads + collects)

    def client(self, peer: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> Client:
        """The client of a request of this peer, a (host, port) or None, with these headers."""
        return self._clients.of(host_of(peer), headers)

    def admit(self, scope: Scope, peer: Any) -> Verdict:
        """Decide about a request of this peer; one that is let in is counted."""
        headers = scope["headers"]
        client = self._direct.get(peer[0]) if peer else None
        if client is None:
            client = self.client(peer, headers)
        path: str = scope["path"]
        if path in self._health:
            return client, b"", "", None
        for name, value in headers:
            if name == b"host" and value not in self._allowed and not self._hosts.allow(value):
                return client, b"", "", _misdirected(value)
        if not self._open or not is_safe(scope["method"]):
            return self._judged(client, scope)
        lines, wait = self._rates.take(client.key)
        return client, lines, "", self._rates.exceeded(client, wait) if wait else None

    def _judged(self, client: Client, scope: Scope) -> Verdict:
        """Decide about a request that is no open read."""
        method, path, lines = scope["method"], scope["path"], b""
        headers = dict(scope["headers"])
        if self._origins and b"origin" in headers:
            lines = self._origins.lines(headers[b"origin"])
            answer = self._origins.preflight(method, headers)
            if answer is not None:
                return self._counted(self._rates, client, lines, "", answer)
        key, safe = "", is_safe(method)
        needs_key = not (safe and (self._access.reads_are_open or self._is_unkeyed(path)))
        refusal = None if safe else foreign_page(headers)
        if refusal is None and needs_key:
            key, refusal = self._access.judge(method, client, scope["headers"])
        if refusal is not None:
            return client, lines, key, refusal
        collects = method == "POST" and path.startswith(self._collect)
        return self._counted(self._rates_collect if collects else self._rates, client, lines, key)

    def _counted(
        self, rates: Rates, client: Client, lines: bytes, key: str, answer: Answer | None = None
    ) -> Verdict:
        """The verdict on a request that counts; a refusal if it is one too many."""
        told, wait = rates.take(client.key)
        return client, lines + told, key, rates.exceeded(client, wait) if wait else answer

    def _is_unkeyed(self, path: str) -> bool:
        return path in self._unkeyed or path.startswith(self._loaded)


def _misdirected(host: bytes) -> Refusal:
    name = errors.shortened(host.decode("latin-1"))
    return Refusal(
        errors.MISDIRECTED,
        f"The API is not published as {name!a}: its operator lists its names in the setting "
        "ALLOWED_HOSTS.",
        [],
    )
