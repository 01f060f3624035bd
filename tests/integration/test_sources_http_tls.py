"""The door to a host that speaks TLS: its deadline, whom it believes, and a proxy before it."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest

from app.core.errors import (
    ConfigurationError,
    ProxyRefused,
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from app.sources.retry import Bounds, RetryPolicy
from tests.support.certificates import Certificate, certificate_for
from tests.support.loopback import (
    SHORT_DEADLINE,
    TRICKLES,
    ask,
    door,
    nothing_left_behind,
    send,
    serving,
    trickle,
    tunnel_to,
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_for(tmp_path_factory.mktemp("tls"), "localhost", "exchange.example")


def test_the_deadline_holds_through_tls(
    certificate: Certificate, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("SSL_CERT_FILE", str(certificate.file))
    with (
        serving(TRICKLES["body with a length"], wrap=certificate.server) as host,
        pytest.raises(UpstreamUnavailable, match="no complete reply"),
    ):
        ask(f"https://localhost:{host.port}", Bounds(60.0, 60.0, deadline=0.5))


def test_certificates_of_the_environment_count_on_this_machine_too(
    certificate: Certificate, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hashed = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(certificate.file)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    copy(certificate.file, tmp_path / f"{hashed.stdout.strip()}.0")
    with serving(whole(b"[1]"), wrap=certificate.server) as host:
        for name, value in (("SSL_CERT_DIR", tmp_path), ("SSL_CERT_FILE", certificate.file)):
            environment.setenv(name, str(value))
            assert ask(f"https://localhost:{host.port}") == [1]


def test_a_host_without_a_trusted_certificate_is_not_believed(
    certificate: Certificate, environment: pytest.MonkeyPatch
) -> None:
    with (
        serving(whole(b"[1]"), wrap=certificate.server) as host,
        door(f"https://localhost:{host.port}", policy=RetryPolicy()) as http,
        pytest.raises(UpstreamNonsense, match="cannot prove that it is localhost"),
    ):
        http.get_json("candles", {})


def test_a_host_is_reached_through_a_proxy_with_a_login(
    certificate: Certificate, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("SSL_CERT_FILE", str(certificate.file))
    with (
        serving(whole(b"[1]"), wrap=certificate.server) as host,
        serving(tunnel_to(host.port)) as proxy,
    ):
        environment.setenv("HTTPS_PROXY", f"http://mms:p%40ss%23w@127.0.0.1:{proxy.port}")
        assert ask("https://exchange.example/v4") == [1]
    login = base64.b64encode(b"mms:p@ss#w")
    assert proxy.requests[0].startswith(b"CONNECT exchange.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + login in proxy.requests[0]


@pytest.mark.parametrize(
    ("status", "kind", "words", "attempts"),
    [
        (b"407 QXCANARY", ProxyRefused, "407 Proxy Authentication Required", 1),
        (b"403 QXCANARY", ProxyRefused, "403 Forbidden", 1),
        (b"502 QXCANARY", UpstreamUnavailable, "502 Bad Gateway", 2),
        (b"599 QXCANARY", UpstreamUnavailable, "599", 2),
    ],
)
def test_the_refusal_of_a_proxy_is_not_blamed_on_the_host(
    status: bytes,
    kind: type[UpstreamError],
    words: str,
    attempts: int,
    environment: pytest.MonkeyPatch,
) -> None:
    with serving(whole(b"QXCANARY", status=status)) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://mms:secret@127.0.0.1:{proxy.port}")
        with (
            door("https://exchange.example", policy=RetryPolicy(attempts=2, base=0.001)) as http,
            pytest.raises(kind) as caught,
        ):
            http.get_json("candles", {})
    assert str(caught.value).startswith("The proxy in HTTPS_PROXY ")
    assert words in str(caught.value)
    assert "QXCA" not in str(caught.value)
    assert len(proxy.requests) == attempts


def test_a_proxy_that_is_away_and_one_that_cannot_prove_itself_are_named(
    certificate: Certificate, environment: pytest.MonkeyPatch
) -> None:
    with serving(whole(b""), wrap=certificate.server) as proxy:
        environment.setenv("HTTPS_PROXY", f"https://127.0.0.1:{proxy.port}")
        with pytest.raises(UpstreamNonsense, match=r"^The proxy in HTTPS_PROXY cannot prove"):
            ask("https://exchange.example")
    with pytest.raises(UpstreamUnavailable, match=r"^The proxy in HTTPS_PROXY .*refused"):
        ask("https://exchange.example")


def test_a_proxy_that_breaks_off_is_named_beside_the_host(
    environment: pytest.MonkeyPatch,
) -> None:
    with serving(send(b"SSH-2.0-QXCANARY\r\n")) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(UpstreamUnavailable, match="through the proxy in HTTPS_PROXY") as caught:
            ask("https://exchange.example")
    assert caught.value.host == "exchange.example"
    assert "QXCA" not in str(caught.value)


def test_a_proxy_before_a_host_without_tls_is_named_where_it_may_have_answered_itself(
    environment: pytest.MonkeyPatch,
) -> None:
    replies = (whole(b"", status=b"407 x"), whole(b"", status=b"403 x"))
    with serving(*replies) as proxy:
        environment.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ConfigurationError, match=r"^The proxy in http_proxy refuses this"):
            ask("http://exchange.example")
        with pytest.raises(UpstreamBlocked, match="through the proxy in http_proxy") as caught:
            ask("http://exchange.example")
        assert caught.value.host == "exchange.example"
