"""Which requests are let in: those for a name of ours, of a client that has not sent too many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from starlette.types import Scope

from app.api import errors
from app.api.clients import Client, Clients, host_of
from app.api.compression import RawHeaders
from app.api.hosts import Hosts
from app.core.ports import RequestRate
from app.core.settings import Settings

HEALTH: Final = ("/health", "/healthz", "/readyz")
"""What is answered whatever the Host and however often: who asks must not be told a lie."""

_COLLECT: Final = "/collect-once/"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, and the headers that say more."""

    answer: errors.Answer
    detail: str
    headers: RawHeaders


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
    """Decides about requests by their client, their Host, and the rates `rate` and `collect`."""

    def __init__(
        self, settings: Settings, rate: RequestRate | None, collect: RequestRate | None
    ) -> None:
        self._clients = Clients(settings.trusted_proxies)
        self._hosts = Hosts(settings.allowed_hosts, settings.host)
        self._direct = self._clients.direct
        self._allowed = self._hosts.allowed
        roots = {"", settings.root_path}
        self._health = frozenset(root + path for root in roots for path in HEALTH)
        self._collect = tuple(root + _COLLECT for root in roots)
        reads = [] if rate is None else [("default", rate)]
        collects = [] if collect is None else [("collect", collect)]
        self._rates = Rates(reads)
        self._rates_collect = Rates(reads + collects)

    def client(self, peer: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> Client:
        """The client of a request of this peer, a (host, port) or None, with these headers."""
        return self._clients.of(host_of(peer), headers)

    def admit(self, scope: Scope, peer: Any) -> tuple[Client, bytes, Refusal | None]:
        """Decide about a request: its client, the lines of its reply's head, why it is refused.

        One that is let in is counted.
        """
        headers = scope["headers"]
        client = self._direct.get(peer[0]) if peer else None
        if client is None:
            client = self.client(peer, headers)
        path: str = scope["path"]
        if path in self._health:
            return client, b"", None
        for name, value in headers:
            if name == b"host" and value not in self._allowed and not self._hosts.allow(value):
                return client, b"", _misdirected(value)
        rates = self._rates
        if scope["method"] == "POST" and path.startswith(self._collect):
            rates = self._rates_collect
        lines, wait = rates.take(client.key)
        return client, lines, rates.exceeded(client, wait) if wait else None


def _misdirected(host: bytes) -> Refusal:
    name = errors.shortened(host.decode("latin-1"))
    return Refusal(
        errors.MISDIRECTED,
        f"The API is not published as {name!a}: its operator lists its names in the setting "
        "ALLOWED_HOSTS.",
        [],
    )
