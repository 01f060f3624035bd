"""What must be so once the containers of a profile run."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from checks.commands import CommandFailedError
from checks.compose import static
from checks.compose.stack import PATIENCE, Stack
from checks.engine import Engine
from checks.image.load import Readers
from checks.report import Report

WINDOWS: Final = (20, 50, 200)


def api_serves(stack: Stack, report: Report, port: int, api: str) -> None:
    """What the loaders stored is served, from the first of them to the newest."""
    for pair in ("BRLBTC", "BRLETH"):
        rows = [len(_json(port, f"/{pair}/mms?range={window}")) for window in WINDOWS]
        report.equal(f"{pair}: averages of 20, 50, 200 days", rows, [365, 365, 365])
    health = _json(port, "/health")
    good = {health.get(part) for part in ("status", "database", "cache")} == {"ok"}
    report.check("/health", good, json.dumps(health))
    line = stack.inside(api, "cat", "/proc/1/status").out
    uid = (re.findall(r"(?m)^Uid:\s+(\d+)", line) or ["?"])[0]
    report.equal(f"{api} runs as", uid, "10001")


def companions_work(stack: Stack, report: Report, port: int, suffix: str = "") -> None:
    """The collector, the scheduled loader and the scheduled monitor have each worked once."""
    signs = {
        "collector": "prices_collected",
        "loader": "load_finished",
        "monitor": "scheduled_run_finished",
    }
    for name, sign in signs.items():
        service = f"{name}{suffix}"
        logged = _within(30, partial(_logged, stack, service, sign))
        report.check(f"{service} works", logged and stack.running(service), f"logged {sign}")
    log = stack.logs(f"monitor{suffix}")
    codes = re.findall(r'"scheduled_run_finished".*?"exit_code": (\d+)', log) or re.findall(
        r'"exit_code": (\d+).*?"scheduled_run_finished"', log
    )
    report.equal("the monitor's verdict, 0 is complete", codes[:1], ["0"])
    prices = _json(port, "/history/BTC?limit=1")
    report.check(
        "a price was collected", len(prices) == 1, f"{prices[0]['price']} usd" if prices else 0
    )


def nobody_outside(stack: Stack, report: Report) -> None:
    """The containers have no way out: what works here works without a network."""
    tried = stack.inside(
        stack_api(stack),
        "python",
        "-c",
        "import socket; socket.create_connection(('192.0.2.1', 80), 3)",
    )
    report.check(
        "no way out of the containers", tried.code != 0, tried.err.strip().rpartition("\n")[2]
    )


def stack_api(stack: Stack) -> str:
    """The service that the profile's API runs as."""
    return {"laptop": "api", "full": "api-1", "demo": "api-demo"}[stack.profile]


def behind_nginx(stack: Stack, report: Report, port: int) -> None:
    """Both API processes answer, and the end of one is not noticed by readers."""
    paths = [f"/BRLBTC/mms?range={window}" for window in WINDOWS] + ["/BRLETH/mms?range=20"]
    for _ in range(40):
        for path in paths:
            _json(port, path)
    counts = {name: _requests(stack, name) for name in ("api-1", "api-2")}
    report.check("nginx asks both", all(n > 20 for n in counts.values()), f"requests: {counts}")
    readers = Readers(port, paths, 4)
    readers.begin()
    time.sleep(1.0)
    code, seconds = stack.stop("api-1")
    time.sleep(1.0)
    stack.again("api-1")
    stack.await_state("api-1", "service_healthy")
    time.sleep(1.0)
    tally = readers.end()
    report.equal("api-1 stopped under readers", f"exit {code}", "exit 0")
    report.check(
        "reads meanwhile",
        tally.asked > 100 and not tally.failed,
        f"{tally.asked}, {tally.failed} failed; stopped in {seconds:.1f} s, started again {tally.errors or ''}",
    )


def names_are_checked(report: Report, port: int) -> None:
    """The stack answers under its name and its address, and under no other."""
    names = [f"localhost:{port}", f"127.0.0.1:{port}", "elsewhere.example"]
    statuses = [_get(port, "/pairs", Host=name)[0] for name in names]
    report.equal("localhost, 127.0.0.1, another name", statuses, [200, 200, 421])


@dataclass(frozen=True)
class Key:
    """An API key, and its entry in API_KEYS_FILE."""

    secret: str
    entry: str


def new_key(engine: Engine, image: str, name: str) -> Key:
    """Make an API key with the image, as an operator does."""
    done = engine.once(image, list(engine.hard), "keys", "new", name, "--json")
    if done.code:
        raise CommandFailedError(f"keys new ended with {done.code}: {done.text[-800:]}")
    made = json.loads(done.out)
    return Key(made["key"], made["entry"])


def write_keys(folder: Path, *keys: Key) -> None:
    """Put another file in the place of API_KEYS_FILE, as editors do."""
    file = folder / "keys" / ".api_keys"
    file.write_text("".join(f"{key.entry}\n" for key in keys))
    file.chmod(0o644)
    file.replace(file.with_name("api_keys"))


def nobody_collects(report: Report, port: int) -> None:
    """POST is closed where nobody has opened it, and the interactive page is not served."""
    asked = [("POST", "/collect-once/BTC"), ("GET", "/docs"), ("GET", "/openapi.json")]
    statuses = [_get(port, path, method)[0] for method, path in asked]
    report.equal("POST, /docs, /openapi.json", statuses, [403, 404, 404])


def keys_open_the_post(stack: Stack, report: Report, first: Key, second: Key) -> None:
    """Two keys are valid at a time. One that is removed is not any more, without a restart."""
    # Each of our containers is a client, and each client has six collections a minute.
    without = [_post_from(stack, "collector", api, "") for api in ("api-1", "api-2")]
    report.equal("POST without a key", without, [401, 401])
    pairs = (("api-1", first), ("api-2", second))
    both = [_post_from(stack, "collector", api, key.secret) for api, key in pairs]
    report.equal("POST with either of two keys", both, [200, 200])
    write_keys(Path(stack.settings["SECRETS_DIR"]), second)
    for api, client in (("api-1", "loader"), ("api-2", "monitor")):
        statuses = [_post_from(stack, client, api, first.secret)]
        while statuses[-1] == 200 and len(statuses) < 5:
            time.sleep(3.0)
            statuses.append(_post_from(stack, client, api, first.secret))
        statuses.append(_post_from(stack, client, api, second.secret))
        report.equal(f"{api}: the key that was removed, the other", statuses[-2:], [401, 200])
    logs = "".join(stack.logs(name) for name in ("api-1", "api-2"))
    hidden = not [key for key in (first, second) if key.secret in logs]
    report.check("keys in logs", hidden, f"looked for in {len(logs)} letters")


def _post_from(stack: Stack, client: str, api: str, key: str) -> int:
    """What an API process answers one of the containers that asks it to collect."""
    script = (
        "import http.client as h, sys\n"
        f"c = h.HTTPConnection('{api}', 8000, timeout=30)\n"
        "key = {'Authorization': f'Bearer {sys.argv[1]}'} if sys.argv[1] else {}\n"
        "c.request('POST', '/collect-once/BTC', headers={'Host': 'localhost', **key})\n"
        "print(c.getresponse().status)\n"
    )
    done = stack.inside(client, "python", "-c", script, key)
    if done.code:
        raise CommandFailedError(f"POST from {client} to {api}: {done.err.strip()[-300:]}")
    return int(done.out)


def clients_are_told_apart(stack: Stack, report: Report, port: int, key: Key) -> None:
    """Through nginx the API sees who asks; one client over its rate is no matter of another's."""
    _get(port, "/pairs", **{"X-Request-ID": "who-asks", "X-Forwarded-For": "192.0.2.7"})

    def clients() -> list[str]:
        lines = "".join(stack.logs(name) for name in ("api-1", "api-2")).splitlines()
        return [json.loads(line)["client"] for line in lines if '"who-asks"' in line]

    _within(10, lambda: bool(clients()))
    nginx = stack.inside("nginx", "hostname", "-i").out.strip()
    good = len(clients()) == 1 and not {nginx, "192.0.2.7"} & {*clients()}
    report.check("the log's client is not nginx", good, f"{clients()}, nginx is {nginx}")
    # Two processes count together within a second, and each has six a minute.
    bearer = {"Authorization": f"Bearer {key.secret}"}
    asked = [_get(port, "/collect-once/BTC", "POST", **bearer) for _ in range(13)]
    statuses = [status for status, _ in asked]
    waits = [headers.get("Retry-After") for status, headers in asked if status == 429]
    limited = statuses[0] == 200 and bool(waits) and all(waits)
    report.check("more than six collections a minute", limited, f"{statuses}, wait {waits[:1]}")
    script = (
        "import sys as s, urllib.request as u; r = u.Request('http://nginx:8080/collect-once/BTC', "
        "method='POST', headers={'Host': 'localhost', 'Authorization': f'Bearer {s.argv[1]}'}); "
        "print(u.urlopen(r).status)"
    )
    other = stack.inside("api-2", "python", "-c", script, key.secret)
    report.equal("another client meanwhile", (other.out or other.err[-200:]).strip(), "200")


def replica_follows(stack: Stack, report: Report) -> None:
    """The replica streams from the primary, and the API reads from it."""
    report.equal(
        "the replica is one", _sql(stack, "postgres-replica", "SELECT pg_is_in_recovery()"), "t"
    )
    query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
    report.equal("replicas that stream", _sql(stack, "postgres", query), "1")
    equal = "SELECT md5(string_agg(s::text, ',' ORDER BY s::text)) FROM series s"
    same = _within(
        20, lambda: _sql(stack, "postgres", equal) == _sql(stack, "postgres-replica", equal)
    )
    report.check("series and revisions equal", same, _sql(stack, "postgres", equal)[:12])
    query = "SELECT count(DISTINCT client_addr) FROM pg_stat_activity WHERE usename = 'mms'"
    report.equal("API processes at the replica", _sql(stack, "postgres-replica", query), "2")
    query = "SELECT rolsuper OR rolcreaterole OR rolreplication FROM pg_roles WHERE rolname = 'mms'"
    report.equal("mms is more than an owner", _sql(stack, "postgres", query), "f")


def ring_is_used(stack: Stack, report: Report) -> None:
    """Both memcached nodes hold entries. The image has nothing to ask with but bash."""
    script = "exec 3<>/dev/tcp/127.0.0.1/11211; printf 'stats\\r\\nquit\\r\\n' >&3; cat <&3"
    held = {}
    for name in ("memcached-1", "memcached-2"):
        told = stack.inside(name, "bash", "-c", script).out
        held[name] = int((re.findall(r"STAT curr_items (\d+)", told) or ["0"])[0])
    report.check("entries in the ring", all(held.values()), held)


def prometheus_sees(report: Report, port: int, left_out: set[str]) -> None:
    """Prometheus scrapes what its configuration names, and can answer every panel and rule."""
    expected = {"prometheus": 1, "postgres": 1, "nginx": 1, "memcached": 2}
    if "memcached-exporter" in left_out:
        del expected["memcached"]

    def up() -> dict[str, int]:
        targets = _json(port, "/api/v1/targets")["data"]["activeTargets"]
        jobs = [item["labels"]["job"] for item in targets if item["health"] == "up"]
        return {job: jobs.count(job) for job in expected}

    _within(60, lambda: up() == expected)
    report.equal("targets that answer", up(), expected)
    rules = _json(port, "/api/v1/rules")["data"]["groups"]
    count = sum(len(group["rules"]) for group in rules)
    report.check("rules loaded", count > 0, f"{count}")
    questions = static.expressions()

    def empty() -> list[str]:
        return [
            name
            for name, expr in questions.items()
            if not name_needs(expr) and not _ask(port, expr)
        ]

    def name_needs(expr: str) -> bool:
        """Whether the answer depends on what is left out here, or is empty while all is well."""
        return ("memcached" in expr and "memcached-exporter" in left_out) or bool(
            re.search(r"[<>=]=? ?\d", expr)
        )

    _within(75, lambda: not empty())
    judged = [name for name, expr in questions.items() if not name_needs(expr)]
    report.check("panels and records with data", not empty(), f"{len(judged)}: {empty() or 'all'}")
    for name, expr in questions.items():
        if "memcached" in expr and "memcached-exporter" in left_out:
            report.leave_out(name, "its exporter is not in Debian")


def grafana_shows(report: Report, port: int, password: str) -> None:
    """Grafana has the dashboard and reaches Prometheus through its own data source."""
    _within(60, lambda: _answers(port, "/api/health"))
    key = base64.b64encode(f"admin:{password}".encode()).decode()
    board = _json(port, "/api/dashboards/uid/mms-stack", key)
    panels = len(board.get("dashboard", {}).get("panels", []))
    report.check("Grafana's dashboard", panels > 0, f"{panels} panels")
    path = "/api/datasources/proxy/uid/prometheus/api/v1/query?query=up"
    series = _json(port, path, key).get("data", {}).get("result", [])
    report.check("Prometheus through Grafana", bool(series), f"{len(series)} series of up")


def secrets_stay_hidden(stack: Stack, report: Report, values: list[str], names: list[str]) -> None:
    """No secret is in what the engine tells of any container, nor in any container's log."""
    told = stack.described()
    shown = [value for value in values if value in told]
    figure = f"{len(shown)} of {len(values)} in {len(told)} letters"
    report.check("secrets in inspect", not shown, figure)
    logs = "".join(stack.logs(name) for name in names)
    shown = [value for value in values if value in logs]
    figure = f"{len(shown)} of {len(values)} in {len(logs)} letters of {len(names)} logs"
    report.check("secrets in logs", bool(logs) and not shown, figure)


def ends_well(stack: Stack, report: Report, names: list[str]) -> None:
    """Everything of ours ends with 0 when it is told to."""
    ends = {name: stack.stop(name) for name in names}
    bad = {name: code for name, (code, _) in ends.items() if code != 0}
    slowest = max(seconds for _, seconds in ends.values())
    report.check(
        "stopped, each with exit 0", not bad, bad or f"{len(ends)}, slowest {slowest:.1f} s"
    )


def _logged(stack: Stack, name: str, sign: str) -> bool:
    return sign in stack.logs(name)


def _requests(stack: Stack, name: str) -> int:
    return stack.logs(name).count("/mms")


def _sql(stack: Stack, name: str, query: str) -> str:
    command = ["psql", "--username=postgres", "--dbname=mms", "--tuples-only", "--no-align"]
    done = stack.inside(name, *command, "--command", query)
    return done.out.strip() or done.err.strip()


def _ask(port: int, expr: str) -> list[Any]:
    results: list[Any] = _json(port, f"/api/v1/query?query={quote(expr)}")["data"]["result"]
    return results


def _answers(port: int, path: str) -> bool:
    """Whether anything answers."""
    try:
        _json(port, path)
    except (OSError, ValueError):
        return False
    return True


def _json(port: int, path: str, key: str = "") -> Any:
    """The JSON of a reply, also of one that says no; `key` is for Basic authorization."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if key:
        request.add_header("Authorization", f"Basic {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - our own
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return json.load(error)


def _get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, Message]:
    """The status and the headers of a reply on this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        reply.read()
        return reply.status, reply.headers
    finally:
        connection.close()


def _within(seconds: float, so: Callable[[], bool]) -> bool:
    """Wait until something is so; whether it came to be."""
    deadline = time.monotonic() + min(seconds, PATIENCE)
    while not so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
