"""What the demo shows, as a process, whatever the settings say about what it shows."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.processes import DEADLINE, ended, environment, process

NOWHERE = "http://127.0.0.1:1"


def complete(demo: subprocess.Popen[str]) -> str:
    """What the demo prints until it is complete."""
    assert demo.stdout is not None
    text = ""
    for line in demo.stdout:
        text += line
        if "Ctrl-C" in line:
            return text
    raise AssertionError(text)


def stop(demo: subprocess.Popen[str]) -> None:
    """End the demo as Ctrl-C does. There was no log, because all went well."""
    demo.send_signal(signal.SIGINT)
    code, said = ended(demo)
    assert code == 0
    assert [line for line in said.splitlines() if not line.startswith("Serving on ")] == []


def addresses(text: str) -> dict[str, str]:
    """The words beside each printed address."""
    return dict(re.findall(r"(?m)^  (http\S+) +(.+)$", text))


def reply(url: str) -> Any:
    """The JSON that an address answers, or its text."""
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        assert answer.status == 200
        body = answer.read()
    return json.loads(body) if answer.headers.get_content_type() == "application/json" else body


def shown(folder: Path, **changes: str) -> str:
    """What the demo of a short history prints; each of its addresses has answered."""
    few = {"ALLOWED_PAIRS": "BRLETH", "HISTORY_DAYS": "3"}
    with process(folder, "-m", "app.processes.demo", **few, **changes) as demo:
        text = complete(demo)
        assert len(addresses(text)) == 7, text
        assert "the page" in next(iter(addresses(text).values()))
        for address in addresses(text):
            reply(address)
        stop(demo)
    return text


def example(text: str) -> tuple[str, str]:
    """The question that is asked as an example, and what is printed as its answer."""
    found = re.search(r"\$ curl '(.*)'\n  (.*)\n", text)
    assert found is not None, text
    return found[1], found[2]


def test_the_addresses_and_the_example_are_those_of_the_settings(tmp_path: Path) -> None:
    port = free_port()
    text = shown(
        tmp_path,
        PORT=str(port),
        ALLOWED_SYMBOLS="ETH",
        INTERVALS="1h",
        http_proxy=NOWHERE,
        HTTPS_PROXY=NOWHERE,
    )
    assert f"http://127.0.0.1:{port}/history/ETH" in addresses(text)
    assert f"http://127.0.0.1:{port}/BRLETH/revisions?interval=1h" in addresses(text)
    question, answer = example(text)
    assert question == f"http://127.0.0.1:{port}/BRLETH/mms?range=20&interval=1h"
    assert answer.startswith('[{"timestamp":')
    assert "(49 rows)" in answer


def test_a_port_in_use_is_said_and_another_one_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = shown(tmp_path, PORT=str(port))
    told = re.search(rf"(?m)^Port {port} is in use; using ([0-9]+)\.$", text)
    assert told is not None, text
    assert example(text)[0] == f"http://127.0.0.1:{told[1]}/BRLETH/mms?range=20"


def test_every_address_shows_what_is_promised_and_the_repair_brings_a_day(tmp_path: Path) -> None:
    own = {"PORT": "0", "ALLOWED_PAIRS": "BRLBTC"}
    with process(tmp_path, "-m", "app.processes.demo", **own) as demo:
        text = complete(demo)
        url = {
            word: address
            for address in addresses(text)
            for word in address.partition("?")[0].split("/")[3:]
        }
        lasting, refused, late = re.findall(
            r"([0-9-]{10}) (?:stays|was|can)", addresses(text)[url["gaps"]]
        )

        def gaps() -> dict[str, str]:
            return {gap["first"][:10]: gap["cause"] for gap in reply(url["gaps"])["gaps"]}

        assert gaps() == {lasting: "absent", late: "absent", refused: "refused"}
        (quarantined,) = reply(url["quarantine"])
        assert "above the high" in quarantined["reason"]
        (revision,) = reply(url["revisions"])
        assert revision["old_close"] != revision["new_close"]
        assert reply(url["anomalies"])["anomalies"]
        prices = [price["price"] for price in reply(url["history"])]
        assert max(prices) > 1.09 * min(prices)
        assert reply(url["anomaly"])["anomaly"] is True
        (pair,) = reply(url["pairs"])["pairs"]
        assert pair["missing"] == 3
        assert b"swagger" in reply(url["docs"])

        typed = re.search(r"(?m)^  \$ (DB_URL=.*)$", text)
        assert typed is not None, text
        repair = subprocess.run(
            typed[1].replace("python ", f"{sys.executable} "),
            shell=True,
            cwd=tmp_path,
            env=environment(tmp_path, **own),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert repair.returncode == 1, repair.stderr  # the other two days stay missing
        until(lambda: gaps() == {lasting: "absent", refused: "refused"})
        stop(demo)
    with process(tmp_path, "-m", "app.processes.demo", "-v", **own) as demo:
        text = complete(demo)
        assert f"{lasting} stays missing, {refused} was refused\n" in text
        assert "DB_URL=" not in text
        demo.send_signal(signal.SIGINT)
        code, said = ended(demo)
        assert code == 0
        logged = {json.loads(line)["event"] for line in said.splitlines() if line[0] == "{"}
        assert logged >= {"server_ready", "load_finished"}  # the server's and the loader's
