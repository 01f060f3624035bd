"""Who may do what: which requests need an API key, and whether they have one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from hmac import compare_digest
from os import stat_result
from pathlib import Path
from stat import S_ISREG
from typing import Final

from app.api import errors
from app.api.clients import Client
from app.api.compression import RawHeaders
from app.api.refusals import Refusal
from app.core.api_keys import COLLECT, READ, ApiKey, digest_of, read_keys
from app.core.errors import ConfigurationError
from app.core.logging import structlog
from app.core.ports import Clock
from app.core.seldom import Seldom
from app.core.setting_sources import KEYS, read_secret
from app.core.setting_urls import is_loopback
from app.core.settings import Settings

log = structlog.get_logger()

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the file of keys."""

LARGEST: Final = 1024 * 1024
"""The most bytes of the file of keys while the service runs: some 10,000 keys."""

SOON: Final = 30
"""Days before a key's last one from which the log says so."""

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1), among those that are answered."""

_BEARER: Final = re.compile(rb"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.IGNORECASE)
"""RFC 6750, 2.1: the scheme of RFC 9110, any case, and the key."""

_PROXIED: Final = (b"x-forwarded-for", b"forwarded")
_REALM: Final = 'Bearer realm="mms-api"'


class Keys:
    """The API keys; those of a file are read again after it has changed.

    A file that cannot be used changes nothing, and the log says so. Use it on one thread.
    """

    def __init__(
        self,
        keys: Sequence[ApiKey],
        file: Path | None,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._file = file
        self._clock = clock
        self._monotonic = monotonic
        # Unknown: the file may have changed since the settings were read.
        self._stamp: tuple[int, ...] | None = None
        self._was_empty = False
        self._next_look = monotonic() + LOOK_EVERY
        self._warn()

    def today(self) -> date:
        """The day by which keys expire, UTC."""
        return datetime.fromtimestamp(self._clock(), UTC).date()

    def of(self, text: bytes) -> ApiKey | None:
        """The key whose text this is, expired or not."""
        digest = digest_of(text)
        holder = None
        if self._warned != self.today():
            self._warn()
        # All are compared, so that the time says nothing about which one is almost right.
        for key in self._current():
            if compare_digest(key.digest, digest):
                holder = key
        return holder

    def allow(self, scope: str) -> bool:
        """Whether there is a key, expired or not, with this scope."""
        return any(scope in key.scopes for key in self._current())

    def _current(self) -> Sequence[ApiKey]:
        now = self._monotonic()
        if self._file is not None and now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            status = _status(self._file)
            stamp = status and (
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_size,
                status.st_ino,
            )
            if stamp != self._stamp:
                self._stamp = stamp
                self._read(self._file, status)
        return self._keys

    def _read(self, file: Path, status: stat_result | None) -> None:
        try:
            keys = _keys_in(file, status)
        except ConfigurationError as error:
            log.error("api_keys_unusable", problem=str(error), kept=[key.id for key in self._keys])
            return
        if keys == self._keys:
            return
        if not keys and not self._was_empty:
            # Somebody may be just writing it: look again.
            self._was_empty, self._stamp = True, None
            return
        self._was_empty = False
        self._keys = keys
        log.info("api_keys_read", keys=[key.id for key in self._keys])
        self._warn()

    def _warn(self) -> None:
        """Name the keys that have ended or end soon: at the start, after a change, and each day."""
        self._warned = self.today()
        for key in self._keys:
            days = (key.expires - self.today()).days
            if days < 0:
                log.warning("api_key_expired", key=key.id, last_day=key.expires.isoformat())
            elif days <= SOON:
                log.warning("api_key_expires_soon", key=key.id, last_day=key.expires.isoformat())


class Access:
    """Decides about requests by their method, their page and their key.

    Whatever is no read needs a key with the scope `collect`, at any address. So a route that is
    added later is closed, too.
    """

    def __init__(
        self, settings: Settings, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.reads_are_open = settings.read_access == "open"
        self._collects = settings.collect_access == "key"
        self._keyless = settings.collects_without_key
        self._keys = Keys(settings.api_keys, settings.api_keys_file, clock, monotonic)
        self._seldom = Seldom()

    def judge(self, method: str, client: Client, headers: RawHeaders) -> tuple[str, Refusal | None]:
        """The id of the request's key, empty where it needs none, and why it is refused."""
        if is_safe(method):
            return self._held(READ, client, headers)
        if not self._collects:
            return "", Refusal(
                errors.FORBIDDEN,
                "Only reads are answered here: the operator has switched collecting by request off "
                "(COLLECT_ACCESS=off).",
                [],
            )
        if self._keyless and not self._keys.allow(COLLECT) and _is_here(client, headers):
            return "", None
        return self._held(COLLECT, client, headers)

    def _held(self, scope: str, client: Client, headers: RawHeaders) -> tuple[str, Refusal | None]:
        """The id of the key that is sent, and why it does not allow the scope."""
        sent = [value for name, value in headers if name == b"authorization"]
        if not sent:
            detail = (
                f"This needs an API key with the scope {scope}: send it as Authorization: Bearer KEY. "
                "Ask the operator of this service for one."
            )
            return "", _unauthorized(detail)
        match = _BEARER.fullmatch(sent[0].strip())
        if len(sent) > 1 or match is None:
            detail = "Authorization is no key: send it once, as Authorization: Bearer KEY."
            return "", _unauthorized(detail)
        key = self._keys.of(match[1])
        if key is None:
            self._log(client, None, "unknown")
            detail = "The key is not valid here: ask the operator for another one."
            return "", _unauthorized(detail, "invalid_token")
        if key.expires < self._keys.today():
            self._log(client, key, "expired")
            detail = (
                f"The key {key.id} has expired: its last day was {key.expires.isoformat()} (UTC)."
            )
            return key.id, _unauthorized(detail, "invalid_token")
        if scope not in key.scopes:
            self._log(client, key, f"not for {scope}")
            challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
            return key.id, Refusal(
                errors.FORBIDDEN,
                f"The key {key.id} does not have the scope {scope}.",
                [(b"www-authenticate", challenge.encode("ascii"))],
            )
        return key.id, None

    def _log(self, client: Client, key: ApiKey | None, reason: str) -> None:
        name = None if key is None else key.id
        times = self._seldom.due((client.key, name, reason))
        if times is not None:
            log.warning(
                "api_key_refused", client=client.address, key=name, reason=reason, times=times
            )


def is_safe(method: str) -> bool:
    """Whether a method changes nothing, among those that may be answered."""
    return method in _SAFE


def _is_here(client: Client, headers: RawHeaders) -> bool:
    """Whether a client is on this machine, and no proxy that passes on the requests of others.

    uvicorn itself may listen elsewhere than HOST says.
    """
    return is_loopback(client.address) and not any(name in _PROXIED for name, _ in headers)


def _unauthorized(detail: str, error: str | None = None) -> Refusal:
    challenge = _REALM if error is None else f'{_REALM}, error="{error}"'
    return Refusal(errors.UNAUTHORIZED, detail, [(b"www-authenticate", challenge.encode("ascii"))])


def _keys_in(file: Path, status: stat_result | None) -> tuple[ApiKey, ...]:
    """The keys in a file that is read while requests wait; `status` is None where there is none.

    Raises ConfigurationError where it cannot be used. A pipe without a writer and an endless file
    would stop the service, so both are refused unread.
    """
    if status is not None and not (S_ISREG(status.st_mode) and status.st_size <= LARGEST):
        raise ConfigurationError(
            "API_KEYS_FILE: the path is not that of a regular file of at most 1 MB; put a file "
            "with entries of API_KEYS alone there"
        )
    return read_keys(read_secret(KEYS, file))


def _status(file: Path) -> stat_result | None:
    """What the system says of the file; None where there is none."""
    try:
        return file.stat()
    except OSError:
        return None
