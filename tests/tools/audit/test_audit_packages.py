"""Every pinned package is judged, or said not to be."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from checks.audit.__main__ import main
from checks.audit.packages import PLANTED, Pin, ask_pip_audit, judge, pins
from checks.report import CannotCheckError, Report
from tests.conftest import absent
from tests.support.certificates import certificate_for
from tests.support.loopback import serving, tunnel_to
from tests.support.processes import ROOT

FLAW = {"id": "PYSEC-2018-66", "fix_versions": ["0.12.3"], "aliases": [], "description": "…"}
OLD = {"name": "flask", "version": "0.5", "vulns": [FLAW]}
GONE = {"name": "gone", "skip_reason": "Dependency not found on PyPI"}


def clean(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "version": version, "vulns": []}


class Service:
    """Says what it was told to say of each package, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[list[Pin]] = []

    def ask(self, some: Sequence[Pin]) -> list[dict[str, Any]]:
        """Answer as pip-audit's report does."""
        self.asked.append(list(some))
        return [
            each
            for each in self.answers
            for pin in some
            if each["name"] == pin.name and each.get("version", pin.version) == pin.version
        ]


def judged(service: Service, *pinned: Pin) -> tuple[Report, str]:
    out = StringIO()
    report = Report("audit", out)
    judge(report, pinned, service.ask)
    return report, out.getvalue()


def test_every_pin_is_read_once_whatever_its_marker_extra_and_list(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "# of uv\na-b[x,y]==1.0 ; python_version < '3.12' \\\n    --hash=sha256:00\n"
        "a-b==2.0 ; python_version >= '3.12' \\\n    --hash=sha256:11\n    # via c\n"
    )
    (tmp_path / "requirements" / "dev.txt").write_text("a-b==2.0 \\\n    --hash=sha256:11\nc==3\n")
    assert pins(tmp_path) == [Pin("a-b", "1.0"), Pin("a-b", "2.0"), Pin("c", "3")]
    assert PLANTED not in pins(ROOT)


def test_clean_packages_pass_and_two_versions_are_both_asked_about() -> None:
    service = Service(OLD, clean("a", "1"), clean("a", "2"))
    report, _ = judged(service, Pin("a", "1"), Pin("a", "2"))
    assert (report.passed, report.failed, report.left_out) == (2, [], [])
    assert service.asked == [[Pin("a", "1"), PLANTED], [Pin("a", "2")]]


def test_a_vulnerable_package_is_named_with_what_mends_it() -> None:
    report, said = judged(Service(OLD, {**OLD, "name": "a", "version": "1"}), Pin("a", "1"))
    assert report.failed == ["vulnerable, of 1 audited packages"]
    assert "a 1: PYSEC-2018-66, mended in 0.12.3" in said
    assert "flask" not in said


def test_a_package_that_the_service_does_not_know_is_not_audited_and_that_is_a_failure() -> None:
    report, said = judged(
        Service(OLD, GONE, clean("a", "1")), Pin("gone", "7"), Pin("a", "1"), Pin("unsaid", "3")
    )
    assert report.failed == ["not audited, of 3 packages"]
    assert "not audited: gone 7 (Dependency not found on PyPI)" in said
    assert "not audited: unsaid 3 (pip-audit has left it out)" in said
    assert "vulnerable, of 1 audited packages" in said


@pytest.mark.parametrize("planted", [clean("flask", "0.5"), {**GONE, "name": "flask"}, GONE])
def test_a_service_that_does_not_name_a_known_flaw_judges_nothing(planted: dict[str, Any]) -> None:
    with pytest.raises(CannotCheckError, match=r"does not know flask 0\.5"):
        judged(Service(planted, clean("a", "1")), Pin("a", "1"))


# ------------------------------------------------------------------------------------------------


def away(_: Report) -> None:
    raise CannotCheckError("no network")


def good(report: Report) -> None:
    report.equal("figure", 1, 1)


def bad(report: Report) -> None:
    report.equal("figure", 1, 2)


def test_what_could_not_be_judged_has_its_exit_code_and_stops_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([], {"good": good}) == 0
    assert main([], {"away": away, "bad": bad}) == 1
    assert main(["--allow-not-run"], {"away": away, "bad": bad}) == 1
    capsys.readouterr()
    for words, code in (([], 3), (["--allow-not-run"], 0)):
        assert main(words, {"away": away, "good": good}) == code
        said = capsys.readouterr().out
        assert "NOT RUN away" in said
        assert "audit: 1 passed, 0 failed, 1 not run" in said


# ------------------------------------------------------------------------------------------------

PROGRAM = ROOT / ".tools" / "audit" / "bin" / "pip-audit"


@contextmanager
def pypi(folder: Path, replies: dict[str, dict[str, Any]]) -> Iterator[dict[str, str]]:
    """A stand-in for PyPI behind a proxy; gives the environment that leads there.

    What is not among the replies gets 404.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = replies.get(self.path)
            body = json.dumps(reply or {"message": "Not Found"}).encode()
            self.send_response(404 if reply is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    certificate = certificate_for(folder, "pypi.org")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = certificate.server.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with serving(tunnel_to(server.server_port)) as proxy:
                yield {
                    "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
                    "REQUESTS_CA_BUNDLE": str(certificate.file),
                }
        finally:
            server.shutdown()
            thread.join()


def test_pip_audit_itself_answers_as_the_others_here_pretend(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    if not PROGRAM.is_file():
        absent("pip-audit", "make audit installs it")
    flaw = {"id": "PYSEC-2018-66", "fixed_in": ["0.12.3"], "aliases": [], "details": "…"}
    replies: dict[str, dict[str, Any]] = {
        "/pypi/flask/0.5/json": {"vulnerabilities": [flaw]},
        "/pypi/a/1/json": {"vulnerabilities": []},
    }
    with pypi(tmp_path, replies) as leading:
        for name, value in leading.items():
            environment.setenv(name, value)
        answers = ask_pip_audit([Pin("a", "1"), PLANTED, Pin("gone", "7")], PROGRAM)
        service = Service(*answers)
    report, said = judged(service, Pin("a", "1"), Pin("gone", "7"))
    assert (report.passed, report.failed) == (1, ["not audited, of 2 packages"])
    assert "not audited: gone 7 (Dependency not found on PyPI" in said
    with pytest.raises(CannotCheckError, match="pip-audit could not ask"):
        ask_pip_audit([PLANTED], PROGRAM)  # the proxy has gone
