"""Under a path of a proxy: with nginx in front, which removes that path or passes it on."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import absent
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.processes import DEADLINE
from tests.support.served import api

CONFIGURATION = """
daemon off; pid {folder}/nginx.pid; {user} error_log {folder}/nginx.log;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{
        listen 127.0.0.1:{removing};
        location /api/mms/ {{ proxy_pass http://127.0.0.1:{api}/; }}
    }}
    server {{
        listen 127.0.0.1:{passing};
        location /api/mms/ {{ proxy_pass http://127.0.0.1:{api}; }}
    }}
}}
"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The API's address by what stands in front of it."""
    program = shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    if program is None:
        absent("nginx", "apt-get install nginx")
    folder = tmp_path_factory.mktemp("proxy")
    settings = {"ROOT_PATH": "/api/mms", "ALLOWED_SYMBOLS": "BTC,1/2 $X:x"}
    with api(folder, "api", **settings) as served:
        ports = {"removing": free_port(), "passing": free_port()}
        user = "user root;" if os.geteuid() == 0 else ""
        file = folder / "nginx.conf"
        file.write_text(CONFIGURATION.format(folder=folder, user=user, api=served.port, **ports))
        errors = folder / "nginx.log"
        with subprocess.Popen([program, "-e", str(errors), "-c", str(file)]) as nginx:
            try:
                fronts = {name: f"http://127.0.0.1:{port}/api/mms" for name, port in ports.items()}
                until(lambda: nginx.poll() is not None or _answers(fronts["passing"]), DEADLINE)
                assert nginx.poll() is None, errors.read_text()
                yield {**fronts, "nothing": f"http://127.0.0.1:{served.port}"}
            finally:
                nginx.terminate()
                nginx.wait(DEADLINE)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("front", ["removing", "passing", "nothing"])
def test_every_address_works_and_is_named_under_the_path(
    addresses: dict[str, str], front: str
) -> None:
    base = httpx.URL(addresses[front])
    with httpx.Client(timeout=DEADLINE) as client:

        def get(path: str) -> httpx.Response:
            return client.get(f"{base}{path}")

        for path in ("/pairs", "/readyz", "/BRLBTC/mms?range=20", "/history/1%2F2%20%24x"):
            assert get(path).status_code == 200, path
        # What the page loads, with and without the slash at the end; and what the index names.
        for path in ("", "/"):
            page = client.get(f"{base}{path}", headers={"Accept": "text/html"}).text
            loaded = re.findall(r'(?:href|src)="(/[^"]*)"', html.unescape(page))
            assert all(address.startswith("/api/mms/") for address in loaded)
            for address in loaded:
                assert client.get(base.join(address)).status_code == 200, address
        for name, address in get("/").json().items():
            if name not in ("name", "version", "stream"):
                assert client.get(base.join(address)).status_code == 200, address
        # What the page of the documentation loads, and where it sends requests.
        for address in re.findall(r'(?:href|src)="([^"]*)"', get("/docs").text):
            assert client.get(httpx.URL(f"{base}/docs").join(address)).status_code == 200, address
        assert get("/openapi.json").json()["servers"] == [{"url": "/api/mms"}]
        lost = get("/nope/x")
        assert lost.status_code == 404
        assert lost.json()["detail"] == (
            "There is nothing at /api/mms/nope/x; /api/mms/docs lists what there is."
        )
        wrong = client.delete(f"{base}/pairs")
        assert (
            wrong.json()["detail"]
            == "DELETE is not possible at /api/mms/pairs; allowed: GET, HEAD."
        )


def test_both_forms_are_answered_side_by_side(addresses: dict[str, str]) -> None:
    direct = addresses["nothing"]
    for path in ("", "/", "/docs", "/openapi.json"):
        prefixed, bare = (httpx.get(f"{direct}{at}{path}") for at in ("/api/mms", ""))
        assert (prefixed.status_code, prefixed.content) == (bare.status_code, bare.content)
    assert httpx.get(f"{direct}/api/mmsx/pairs").status_code == 404
    assert json.loads(httpx.get(f"{direct}/api/mms/healthz").content) == {"status": "alive"}
