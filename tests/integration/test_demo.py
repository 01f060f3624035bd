"""What the demo shows, as a process, whatever the settings say about what it shows."""

from __future__ import annotations

import re
import signal
import socket
import urllib.request
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import DEADLINE, ended, process

NOWHERE = "http://127.0.0.1:1"


def shown(folder: Path, **changes: str) -> str:
    """What the demo prints until it is complete, each of its three addresses having answered."""
    few = {"ALLOWED_PAIRS": "BRLETH", "HISTORY_DAYS": "3"}
    with process(folder, "-m", "app.processes.demo", **few, **changes) as demo:
        assert demo.stdout is not None
        text = ""
        for line in demo.stdout:
            text += line
            if "Ctrl-C" in line:
                break
        addresses = re.findall(r"(?m)^  (http\S+)$", text)
        assert len(addresses) == 3, text
        for address in addresses:
            with urllib.request.urlopen(address, timeout=DEADLINE) as reply:
                assert reply.status == 200
        demo.send_signal(signal.SIGINT)
        assert ended(demo)[0] == 0
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
    assert f"http://127.0.0.1:{port}/history/ETH\n" in text
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
