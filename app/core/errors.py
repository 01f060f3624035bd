"""The errors of the whole product, named by what the caller should do.

MmsError
├── InvalidRequest          change the request: it can never succeed as it is
│   ├── UnsupportedPair · UnsupportedRange · UnsupportedInterval · UnsupportedSymbol
│   ├── ReversedPeriod
│   ├── InvalidParameter · UnknownParameter · RepeatedParameter
│   └── NotAcceptable
├── Overloaded              try again in `retry_after` seconds: others are being served
├── BudgetSpent             try again in `retry_after` seconds: the month's other calls are reserved
├── ConfigurationError      change a setting, then start again
├── UpstreamError           an outside host did not answer as it should
│   ├── UpstreamUnavailable     try again later (after `retry_after` seconds, unless it is None)
│   │   └── OutOfTurn               the same; no request went out, so the host refused nothing
│   ├── UpstreamBlocked         send no more requests: the host refuses this client
│   │   └── ProxyRefused            the same of the proxy before it: also a ConfigurationError
│   ├── UpstreamRejected        this request is wrong (an unknown symbol, say); others may work
│   ├── UpstreamNonsense        the reply cannot be trusted; nothing of it is used
│   └── PriceScaleChanged       the exchange multiplied its prices; an operator must look
├── StoreError
│   ├── StoreUnavailable        try again later: the database does not answer
│   └── StoreUnusable           an operator must act: not migrated, foreign or damaged
├── TakenByAnother          do nothing: another process does this work now
└── UnrepresentablePrice    a price that fixed point at 1e-8 cannot hold exactly

The API maps these to statuses in one table (`app.api.errors`), the commands map them to exit codes
(`app.commands.command`). Each message is a full sentence that says what is allowed or what to do.
"""

from __future__ import annotations

from typing import Final


class MmsError(Exception):
    """Root of all errors that this product raises on purpose."""


class InvalidRequest(MmsError):
    """A request that can never succeed as it is."""


class UnsupportedPair(InvalidRequest):
    """The pair is not among the configured ones."""


class UnsupportedRange(InvalidRequest):
    """The averaging window is not one of those computed."""


class UnsupportedInterval(InvalidRequest):
    """The candle interval is unknown or not configured."""


class UnsupportedSymbol(InvalidRequest):
    """The symbol's price is not collected."""


class ReversedPeriod(InvalidRequest):
    """The period's start lies after its end."""


class InvalidParameter(InvalidRequest):
    """A parameter's value cannot be understood or is out of bounds."""


class UnknownParameter(InvalidRequest):
    """A parameter that the endpoint does not have."""


class RepeatedParameter(InvalidRequest):
    """A parameter appears more than once, in one spelling or in two."""


class NotAcceptable(InvalidRequest):
    """The client accepts none of the formats that there are."""


class Overloaded(MmsError):
    """The service has too much to do for this request now; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BudgetSpent(MmsError):
    """The calls to a host that this month leaves for requests are used up.

    `retry_after` is in seconds.
    """

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConfigurationError(MmsError):
    """A setting must change before the program can start. The message is one line."""


class UpstreamError(MmsError):
    """An outside host did not answer as it should."""

    def __init__(self, message: str, *, host: str) -> None:
        super().__init__(message)
        self.host = host


class UpstreamUnavailable(UpstreamError):
    """Temporary: the same request may succeed later.

    `retry_after` is the wait that the host requested, in seconds; None without a request.
    """

    def __init__(self, message: str, *, host: str, retry_after: float | None = None) -> None:
        super().__init__(message, host=host)
        self.retry_after = retry_after


class OutOfTurn(UpstreamUnavailable):
    """The rate limiter sent no request: the next free turn comes too late."""


class UpstreamBlocked(UpstreamError):
    """The host refuses this client (403, or a page of HTML): retrying or disguising is wrong."""


class ProxyRefused(UpstreamBlocked, ConfigurationError):
    """The proxy before the host refuses this client, or to connect it: the environment must change.

    No request reached the host.
    """


class UpstreamRejected(UpstreamError):
    """The host understood the request and says that it is wrong."""


class UpstreamNonsense(UpstreamError):
    """The host sent a reply that cannot be understood or trusted."""


class PriceScaleChanged(UpstreamError):
    """The exchange sent stored candles again, multiplied by one factor; none was used."""


AWAY: Final = (UpstreamUnavailable, UpstreamBlocked)
"""Errors after which the host will not answer the next request either."""


class StoreError(MmsError):
    """The database could not carry out a request."""


class StoreUnavailable(StoreError):
    """The database does not answer now; the same call may succeed later."""


class StoreUnusable(StoreError):
    """The database answers but must not be used: not migrated, foreign, damaged, or too new."""


class TakenByAnother(MmsError):
    """Another process holds the lease of this work. Not a failure: the work is being done."""


class UnrepresentablePrice(MmsError):
    """A price that 64-bit fixed point at 1e-8 cannot hold exactly."""


def rate_limited(host: str, wait: float, *, by_host: bool) -> UpstreamUnavailable:
    """Build the error of a rate limiter whose wait of `wait` seconds is too long.

    `by_host` says that the host itself asked for the pause. Otherwise our own requests are too
    frequent.
    """
    if by_host:
        return UpstreamUnavailable(
            f"{host} asked to be left alone: the next request may go out in {wait:.1f} s, which is "
            "longer than this one can wait. Try again then.",
            host=host,
            retry_after=wait,
        )
    return OutOfTurn(
        f"The next free turn at {host} comes in {wait:.1f} s, which is longer than this request can "
        "wait: try again then.",
        host=host,
        retry_after=wait,
    )
