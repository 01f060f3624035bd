"""The door to a host that speaks TLS: its deadline, and whom it believes."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from shutil import which

import httpx
import pytest

from app.core.errors import UpstreamNonsense, UpstreamUnavailable
from app.sources.http import Bounds, UpstreamHttp
from app.sources.local_rate_limiter import LocalRateLimiter
from app.sources.retry import RetryPolicy
from tests.conftest import absent
from tests.support.loopback import (
    ONCE,
    PATIENT,
    SHORT_DEADLINE,
    TRICKLES,
    Host,
    ask,
    door,
    nothing_left_behind,
    serving,
    trickle,
    whole,
)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Every test gives its threads and sockets back, however the host behaved."""
    with nothing_left_behind():
        yield


def test_a_host_that_never_finishes_the_tls_handshake_is_left_at_the_deadline() -> None:
    record = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # the head of a long server hello
    with (
        serving(trickle(record, b"\x00")) as host,
        pytest.raises(UpstreamUnavailable, match="no complete reply"),
    ):
        ask(f"https://127.0.0.1:{host.port}", SHORT_DEADLINE)


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost that only who knows it trusts."""

    server: ssl.SSLContext
    trusting: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = which("openssl")
    if openssl is None:
        absent("openssl", "the openssl command, which makes a certificate for the test, is missing")
    folder = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "cert.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run(
        [openssl, "req", "-x509", *curve, *name, "-keyout", str(key), "-out", str(file)],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "LC_ALL": "C"},
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file, key)
    return Certificate(server, ssl.create_default_context(cafile=str(file)))


def tls_door(host: Host, certificate: Certificate, bounds: Bounds = PATIENT) -> UpstreamHttp:
    return UpstreamHttp(
        f"https://localhost:{host.port}",
        LocalRateLimiter("loopback", 1_000.0),
        policy=ONCE,
        bounds=bounds,
        transport=httpx.HTTPTransport(verify=certificate.trusting),
    )


def test_the_deadline_holds_through_tls(certificate: Certificate) -> None:
    with (
        serving(TRICKLES["body with a length"], wrap=certificate.server) as host,
        tls_door(host, certificate, Bounds(60.0, 60.0, deadline=0.5)) as http,
        pytest.raises(UpstreamUnavailable, match="no complete reply"),
    ):
        http.get_json("candles", {})


def test_a_host_without_a_trusted_certificate_is_not_believed(certificate: Certificate) -> None:
    with (
        serving(whole(b"[1]"), wrap=certificate.server) as host,
        door(f"https://localhost:{host.port}", policy=RetryPolicy()) as http,
        pytest.raises(UpstreamNonsense, match="cannot prove that it is localhost"),
    ):
        http.get_json("candles", {})
