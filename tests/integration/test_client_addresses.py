"""Who a client is, whatever serves: our server, or plain uvicorn with any of its own options."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.processes import DEADLINE, ended, process, url_in_log

UVICORN = ("uvicorn", "app.main:app")
SERVERS = {
    "ours": ("app.serve",),
    "uvicorn": UVICORN,
    "uvicorn that trusts all": (*UVICORN, "--forwarded-allow-ips", "*"),
    "uvicorn that trusts none": (*UVICORN, "--no-proxy-headers"),
    "uvicorn with h11": (*UVICORN, "--http", "h11"),
    "uvicorn that traces": (*UVICORN, "--log-level", "trace"),
}
WARNING = "protocol_limits_missing"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("trusted", ["", "127.0.0.1"])
def test_a_header_names_the_client_where_the_setting_trusts_its_writer(
    tmp_path: Path, server: str, trusted: str
) -> None:
    variables = {"TRUSTED_PROXIES": trusted} if trusted else {}
    with process(tmp_path, "-m", *SERVERS[server], "--port", "0", **variables) as child:
        url = url_in_log(child)
        for line in ("6.6.6.6:1234, 192.0.2.7:4711", "6.6.6.6, 192.0.2.7", "nonsense"):
            headers = {"X-Forwarded-For": line}
            assert httpx.get(f"{url}/supported-symbols", headers=headers).status_code == 200
        assert httpx.get(f"{url}/supported-symbols").status_code == 200
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=transport, headers={"X-Forwarded-For": "6.6.6.6"}) as another:
            assert another.get(f"{url}/supported-symbols").status_code == 200
        child.send_signal(signal.SIGTERM)
        _, said = ended(child)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    clients = [line["client"] for line in lines if line["event"] == "http_request"]
    named = "192.0.2.7" if trusted else "127.0.0.1"
    if server == "uvicorn that traces":  # then it hides the connection
        assert clients == ["-", "-", "-", "127.0.0.1", "-"]
    else:
        assert clients == [named, named, "127.0.0.1", "127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize(("server", "count"), [("ours", 0), ("uvicorn", 1)])
def test_plain_uvicorn_says_once_what_it_lacks(tmp_path: Path, server: str, count: int) -> None:
    with process(tmp_path, "-m", *SERVERS[server], "--port", "0") as child:
        assert child.stderr is not None
        said = ""
        while "http://127.0.0.1" not in said:
            said += child.stderr.readline()
        port = urlsplit(said[said.rindex("http://") :].split('"')[0].split()[0]).port
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        child.send_signal(signal.SIGTERM)
        said += child.communicate(timeout=DEADLINE)[1]
    lines = [json.loads(line) for line in said.splitlines() if WARNING in line]
    assert [line["level"] for line in lines] == ["warning"] * count
    assert all("app.serve" in line["problem"] for line in lines)


READER = f"page:read:2099-12-31:{'0' * 64}"


@pytest.mark.parametrize(
    ("server", "code", "settings", "problem", "fix"),
    [
        ("ours", 2, {}, "ALLOWED_HOSTS is empty and ENV is prod", "ALLOWED_HOSTS=api.example.com"),
        ("uvicorn", 3, {}, "ALLOWED_HOSTS is empty and ENV is prod", "=api.example.com"),
        (
            "ours",
            2,
            {"ALLOWED_HOSTS": "api.example.com", "API_KEYS": READER},
            "API_KEYS has no key with the scope collect and ENV is prod: make one with python -m app keys",
            "or set COLLECT_ACCESS=off",
        ),
        (
            "ours",
            2,
            {"ENV": "dev", "READ_ACCESS": "key"},
            "API_KEYS has no key with the scope read and READ_ACCESS is key: make one with python -m app keys",
            "or set READ_ACCESS=open",
        ),
    ],
)
def test_the_api_starts_only_with_what_keeps_strangers_out(
    tmp_path: Path, server: str, code: int, settings: dict[str, str], problem: str, fix: str
) -> None:
    production = {"ENV": "prod", "SINGLE_NODE": "true", **settings}
    with process(tmp_path, "-m", *SERVERS[server], "--port", "0", **production) as child:
        returned, said = ended(child)
    assert returned == code
    assert problem in said
    assert fix in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []  # nothing was opened
