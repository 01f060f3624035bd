"""The way to a host as the environment gives it: proxies, exceptions from them, certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.errors import ConfigurationError
from app.sources.network import network_to

HOST = "https://exchange.example/v4"
PROXY = "http://10.9.8.7:3128"


def variable(url: str) -> str | None:
    """The variable whose proxy stands before this URL."""
    proxy = network_to(url).proxy
    return None if proxy is None else proxy.variable


@pytest.mark.parametrize(
    ("url", "entries", "excepted"),
    [
        (HOST, "fd00::/8", False),
        ("https://[fd00::7]/v4", "fd00::/8", True),
        ("https://[fd00::7]/v4", "[fd00::]/8, ::1", True),
        ("https://[2001:db8::7]/v4", "fd00::/8,[2001:db8::7]", True),
        ("https://10.1.2.3/v4", "10.0.0.0/8", True),
        ("https://10.1.2.3/v4", "10.1.2.3:8443", False),
        ("https://10.1.2.3:8443/v4", "10.1.2.3:8443", True),
        (HOST, "10.0.0.0/8,::1,[::1]", False),
        (HOST, "localhost,*", True),
        (HOST, ",, ,", False),
        (HOST, "Example", True),
        (HOST, ".example", True),
        (HOST, "*.example", True),
        (HOST, "change.example", False),
        (HOST, "exchange.example:443", True),
        (HOST, "exchange.example:80", False),
        (HOST, "https://exchange.example", True),
        (HOST, "http://exchange.example", False),
        ("https://mms.svc.cluster.local/v4", ".svc.cluster.local", True),
    ],
)
def test_no_proxy_excepts_what_it_names(
    url: str, entries: str, *, excepted: bool, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("https_proxy", PROXY)
    environment.setenv("NO_PROXY", entries)
    with capture_logs() as lines:
        assert (variable(url) is None) is excepted
    assert lines == []


@pytest.mark.parametrize(
    "entry", ["fd00::/999", "10.0.0.0/x", "[fd00:", "10.*", "a b@c", "https://"]
)
def test_an_entry_of_no_proxy_without_a_meaning_is_ignored_and_the_others_count(
    entry: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTPS_PROXY", PROXY)
    environment.setenv("NO_PROXY", f"{entry},exchange.example")
    with capture_logs() as lines:
        assert variable(HOST) is None
    assert [(line["event"], line["variable"]) for line in lines] == [
        ("no_proxy_entry_ignored", "NO_PROXY")
    ]
    assert entry not in str(lines)


def test_the_proxy_is_that_of_the_scheme_and_its_variable_is_named_as_it_is_spelt(
    environment: pytest.MonkeyPatch,
) -> None:
    assert variable(HOST) is None
    environment.setenv("all_proxy", PROXY)
    environment.setenv("HTTP_PROXY", PROXY)
    assert (variable(HOST), variable("http://exchange.example")) == ("all_proxy", "HTTP_PROXY")
    environment.setenv("HTTPS_PROXY", "http://mms:p%40ss%23w@proxy.example:3128")
    proxy = network_to(HOST).proxy
    assert proxy is not None
    assert (proxy.variable, proxy.client.auth) == ("HTTPS_PROXY", ("mms", "p@ss#w"))
    assert str(proxy.client.url) == "http://proxy.example:3128"
    environment.setenv("https_proxy", "")  # as everywhere: the lower case counts, also when empty
    assert variable(HOST) == "all_proxy"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("http://USERQX:PWQ#XZ@proxy.example:3128", "percent-encoded"),
        ("http://USERQX:PWQ/XZ@proxy.example:3128", "percent-encoded"),
        ("http://USERQX:PWQ@XZ@proxy.example:3128", "percent-encoded"),
        ("http://USERQX:PWQ?XZ@proxy.example:3128", "percent-encoded"),
        ("http://USERQX:PWQ XZ@proxy.example:3128", "percent-encoded"),
        ("http://USERQX:PWQ\nXZ@proxy.example:3128", "percent-encoded"),
        ("http://USERQX:PWQ%zzXZ@proxy.example:3128", "percent-encoded"),
        ("USERQX:PWQ#XZ@proxy.example", "percent-encoded"),
        ("socks://USERQX:PWQXZ@proxy.example", "scheme"),
        ("gopher://USERQX:PWQXZ@proxy.example", "scheme"),
        ("http://USERQX:PWQXZ@proxy.example:31x8", "port"),
        ("http://USERQX:PWQXZ@proxy.example:70000", "port"),
        ("http://USERQX:PWQXZ", "port"),
        ("http://USERQX:PWQXZ@", "host"),
        ("http://USERQX:PWQXZ@xn--zz--zz\udcff", "host|percent"),
        ("socks5://USERQX:PWQXZ@proxy.example", "SOCKS.*socksio"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable_and_nothing_of_it_is_repeated(
    value: str, problem: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("https_proxy", value)
    with pytest.raises(ConfigurationError, match=rf"^https_proxy .*{problem}") as caught:
        network_to(HOST)
    assert not any(part in str(caught.value) for part in ("USERQX", "PWQ", "XZ", "proxy.example"))
    assert "\n" not in str(caught.value)


def test_what_a_host_does_not_need_is_not_judged(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "gopher://proxy.example")
    environment.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    assert network_to("http://exchange.example").proxy is None
    environment.delenv("SSL_CERT_FILE")
    for host in ("127.0.0.1", "[::1]", "localhost", "sandbox.localhost"):
        assert network_to(f"https://{host}:8443").proxy is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("SSL_CERT_FILE", "No such file"),
        ("SSL_CERT_DIR", "no file in it"),
        ("SSLKEYLOGFILE", "No such file"),
    ],
)
def test_certificates_that_cannot_be_read_are_named_by_their_variable(
    name: str, problem: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(name, "/nowhere/secret.pem")
    for url in (HOST, "https://localhost:8443"):
        with pytest.raises(ConfigurationError, match=rf"^{name} .*{problem}") as caught:
            network_to(url)
        assert "secret" not in str(caught.value)


def test_a_file_or_a_folder_without_certificates_is_refused(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n")
    environment.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_DIR .*openssl rehash"):
        network_to(HOST)
    environment.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE .*PEM"):
        network_to(HOST)
