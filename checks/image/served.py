"""The API as production runs it: its health, its rights, its memory under load, and its end."""

from __future__ import annotations

import json
import re
import time
from typing import Final

from checks.image.context import ROOT
from checks.image.load import Readers
from checks.image.rig import MEMORY, NAME, UID, Rig, ask, free_port, get
from checks.report import Report

READERS: Final = 32
LOAD_SECONDS: Final = 20.0
HEALTHCHECK: Final = ("python", "-I", "-S", "/opt/mms/healthcheck.py")

# Where this process stands in the hierarchy of the kernel's control groups, old and new.
_LIMITS: Final = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
_PEAKS: Final = (
    "/sys/fs/cgroup/memory.peak",
    "/sys/fs/cgroup/memory/memory.max_usage_in_bytes",
)
_KILLS: Final = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def prove(rig: Rig, report: Report, volume: str) -> None:
    """Serve the loaded database in `volume`, and try what a container meets in production."""
    port = free_port()
    # The readers are one client, which asks for more than one may. The limit stays at work.
    settings = rig.settings(PORT=str(port), RATE_LIMIT="100000000/minute")
    with rig.running("api", volume, settings) as api:
        rig.await_status(port, "/readyz")
        _health(rig, report, api)
        _names(report, port)
        _closed(report, port)
        _page(report, port)
        _rights(rig, report, api)
        _load(rig, report, api, port)
        _end(rig, report, api, port)
    _without_tmp(rig, report, volume)
    _limit_is_real(rig, report)


def _health(rig: Rig, report: Report, api: str) -> None:
    if rig.engine.is_docker:
        began, state = time.monotonic(), ""
        while state != "healthy" and time.monotonic() - began < 60:
            time.sleep(0.5)
            state = rig.engine.inspect("container", api)["State"]["Health"]["Status"]
        report.equal("health, asked by docker", state, "healthy")
    else:
        done = rig.engine.call("healthcheck", "run", api)
        report.equal("health, asked by podman", f"exit {done.code}", "exit 0")
    ready = rig.inside(api, *HEALTHCHECK, "/readyz")
    report.equal("health check of /readyz", (ready.code, ready.out), (0, "/readyz 200\n"))
    wrong = rig.inside(api, *HEALTHCHECK, "/no-such-pair/mms")
    report.equal("health check of a reply of 404", wrong.code, 1)
    away = rig.inside(api, "env", "PORT=1", *HEALTHCHECK)
    report.equal("health check where nobody answers", away.code, 1)


def _names(report: Report, port: int) -> None:
    """It answers under its names; health checks may ask under any."""
    asked = [(NAME, "/pairs"), ("elsewhere.example", "/pairs"), ("elsewhere.example", "/readyz")]
    statuses = [get(port, path, name) for name, path in asked]
    report.equal("its name, another one, health under that", statuses, [200, 421, 200])


def _closed(report: Report, port: int) -> None:
    """Nobody can change anything, and the interactive page is not served."""
    asked = [("POST", "/collect-once/BTC"), ("GET", "/docs"), ("GET", "/openapi.json")]
    statuses = [get(port, path, NAME, method) for method, path in asked]
    report.equal("POST, /docs, /openapi.json", statuses, [403, 404, 404])


def _page(report: Report, port: int) -> None:
    """A browser gets the page and all that it loads, with the pinned library of the chart."""
    status, page = ask(port, "/", {"Host": NAME, "Accept": "text/html"})
    loaded = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.decode())
    replies = [ask(port, path, {"Host": NAME}) for path in loaded]
    wrong = [path for path, (code, _) in zip(loaded, replies, strict=True) if code != 200]
    report.check(
        "the page", status == 200 and bool(loaded) and not wrong, wrong or f"{len(loaded)} files"
    )
    pinned = json.loads((ROOT / "requirements" / "npm" / "package.json").read_text())
    version = pinned["dependencies"]["lightweight-charts"]
    library = b"".join(
        content for path, (_, content) in zip(loaded, replies, strict=True) if "/library/" in path
    )
    report.check(
        "its chart's library",
        f"Lightweight Charts\u2122 v{version}\n".encode() in library,
        f"{version}, {len(library)} bytes",
    )


def _rights(rig: Rig, report: Report, api: str) -> None:
    status = rig.inside(api, "cat", "/proc/1/status").out
    words = rig.inside(api, "cat", "/proc/1/cmdline").out.split("\0")
    report.equal("process 1", " ".join(words[:3]), "python -m app.serve")
    uids = set((re.findall(r"(?m)^Uid:\s+(.*)$", status) or [""])[0].split())
    gids = set((re.findall(r"(?m)^Gid:\s+(.*)$", status) or [""])[0].split())
    report.equal("uid and gid", (uids, gids), ({str(UID)}, {str(UID)}))
    rights = dict(re.findall(r"(?m)^(CapEff|CapBnd|NoNewPrivs):\s+(\w+)$", status))
    expected = {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}
    report.equal("capabilities, new privileges", rights, expected)
    places = ["/", "/etc", "/opt/mms", "/opt/mms/app", "/opt/venv", "/usr/local/bin", "/var/lib"]
    tried = {place: rig.inside(api, "touch", f"{place}/.written") for place in places}
    # That nobody but root may write there would not be enough.
    other = [p for p, done in tried.items() if "Read-only file system" not in done.err]
    report.check("read-only root", not other, other or f"{len(places)} places: read-only")
    modes = rig.inside(api, "stat", "-c", "%a", "/data", "/data/mms.db").out.split()
    report.equal("modes of /data and the database", modes, ["700", "600"])
    for place in ("/tmp", "/data"):  # noqa: S108 - inside the container
        report.equal(f"{place} can be written", rig.inside(api, "touch", f"{place}/.w").code, 0)


def _load(rig: Rig, report: Report, api: str, port: int) -> None:
    limit = _first_number(rig, api, _LIMITS)
    report.equal("memory limit in force, bytes", limit, MEMORY)
    tally = Readers(port, paths(), READERS).for_seconds(LOAD_SECONDS)
    peak = _first_number(rig, api, _PEAKS) / 2**20
    status = rig.inside(api, "cat", "/proc/1/status").out
    resident = int((re.findall(r"(?m)^VmHWM:\s+(\d+) kB$", status) or ["0"])[0]) / 1024
    rate = tally.asked / LOAD_SECONDS
    report.check(
        f"{READERS} readers for {LOAD_SECONDS:.0f} s",
        tally.asked > 1_000 and not tally.failed,
        f"{tally.asked} replies ({rate:.0f}/s, {tally.bytes / 2**20:.0f} MB), "
        f"{tally.failed} failed, {tally.overloaded} heavy ones without a turn, "
        f"slowest {tally.slowest * 1000:.0f} ms {dict(tally.errors) or ''}",
    )
    report.check(
        "memory under load",
        0 < resident < MEMORY / 2**20,
        f"process {resident:.0f} MB, with the file cache {peak:.0f} MB of {MEMORY // 2**20} MB",
    )
    report.equal("killed for want of memory", _kills(rig, api), 0)
    report.equal("/readyz after the load", get(port, "/readyz"), 200)


def _end(rig: Rig, report: Report, api: str, port: int) -> None:
    """SIGTERM while readers ask: exit 0 in time, and no reply is cut off."""
    readers = Readers(port, paths(), READERS)
    readers.begin()
    time.sleep(1.0)
    code, seconds = rig.stop(api)
    tally = readers.end()
    cut = tally.errors["IncompleteRead"]
    report.equal("graceful stop under load", f"exit {code}", "exit 0")
    report.check("time to stop", seconds < 10, f"{seconds:.2f} s")
    wrong = {status: n for status, n in tally.statuses.items() if status not in (200, 503)}
    good = tally.statuses[200] > 0 and not cut and not wrong
    report.check(
        "replies while stopping", good, f"{tally.statuses[200]} whole, {cut} cut off {wrong or ''}"
    )
    report.equal("the log's last line", "server_stopped" in rig.logs(api)[-300:], True)


def _without_tmp(rig: Rig, report: Report, volume: str) -> None:
    """As on ECS, where the root is read-only and nothing is mounted over /tmp."""
    port = free_port()
    with rig.running("bare", volume, rig.settings(PORT=str(port)), tmp=False) as api:
        rig.await_status(port, "/readyz")
        tried = rig.inside(api, "touch", "/tmp/.w")  # noqa: S108 - inside the container
        report.check("no /tmp, as on ECS", "Read-only file system" in tried.err, "read-only")
        targets = [path for path in paths() if "/mms" in path or "/history" in path]
        wrong = {path: status for path in targets if (status := get(port, path)) != 200}
        report.check("replies without /tmp", not wrong, wrong or f"{len(targets)}, each 200")
        code, _ = rig.stop(api)
        report.equal("stop without /tmp", f"exit {code}", "exit 0")


def _limit_is_real(rig: Rig, report: Report) -> None:
    """A process above the memory limit is killed: so the API had that limit too."""
    options = [*rig.options("unused", {}), "--entrypoint", "python"]
    greedy = "import sys; held = b'1' * (700 * 2**20); sys.exit(0)"
    done = rig.engine.once(rig.image, options, "-c", greedy)
    report.equal("700 MB in the same container", f"exit {done.code}", "exit 137")


def paths() -> list[str]:
    """Questions of many kinds, few of them alike."""
    day, now = 86_400, int(time.time())
    targets = ["/readyz", "/pairs", "/history/BTC?limit=50", "/anomaly/BTC", "/BRLBTC/gaps"]
    for pair in ("BRLBTC", "BTC-BRL", "BRLETH"):
        for window in (20, 50, 200):
            targets.append(f"/{pair}/mms?range={window}")
            targets += [
                f"/{pair}/mms?range={window}&interval={interval}&from={now - first * day}"
                f"&to={now - (first - length) * day}"
                for interval, first, length in (
                    ("1d", 300, 30),
                    ("1d", 364, 360),
                    ("1h", 90, 14),
                    ("1h", 300, 120),
                )
            ]
        targets.append(f"/{pair}/candles?windows=20,50,200&from={now - 200 * day}")
    return targets


def _first_number(rig: Rig, container: str, files: tuple[str, ...]) -> int:
    for file in files:
        done = rig.inside(container, "cat", file)
        if done.code == 0 and done.out.strip().isdigit():
            return int(done.out)
    return 0


def _kills(rig: Rig, container: str) -> int | None:
    for file in _KILLS:
        done = rig.inside(container, "cat", file)
        if done.code == 0 and (match := re.search(r"(?m)^oom_kill (\d+)$", done.out)):
            return int(match[1])
    return None
