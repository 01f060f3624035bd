"""Run a command as the role of GitHub's token: `python -m infra.release.identity COMMAND …`

A job with `id-token: write` may get a signed token from GitHub, with its repository, environment
and commit. AWS gives temporary credentials of AWS_ROLE_ARN for it; no key is stored. boto3,
Terraform and the AWS CLI make that exchange themselves, from a token in a file. The token lives for
minutes, so each command gets a new one. Without GitHub (at home, in the rehearsal) the command runs
with the credentials of the environment.

The exit code is the command's; 2 where no token could be had.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

AUDIENCE: Final = "sts.amazonaws.com"
_PATIENCE: Final = 20.0

Fetch = Callable[[str, Mapping[str, str]], bytes]
"""URL and headers to the body; raises OSError where there is none."""


def fetch(url: str, headers: Mapping[str, str]) -> bytes:
    """A GET over HTTPS (or HTTP, on a test's loopback)."""
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - GitHub's own URL
    with urllib.request.urlopen(request, timeout=_PATIENCE) as reply:  # noqa: S310 - as above
        body: bytes = reply.read(65_536)
        return body


def token(environment: Mapping[str, str], ask: Fetch = fetch) -> str | None:
    """GitHub's token for AWS; None outside of a job that may have one.

    Raises LookupError, without the token or the secret it was asked with, where GitHub gives none.
    """
    url = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    secret = environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not secret:
        return None
    try:
        body = ask(f"{url}&audience={AUDIENCE}", {"Authorization": f"bearer {secret}"})
        value = json.loads(body)["value"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LookupError(f"GitHub gave no token: {type(error).__name__}: {error}") from error
    return str(value)


def main(
    argv: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    ask: Fetch = fetch,
) -> int:
    """Run the command; returns its exit code."""
    command = list(sys.argv[1:] if argv is None else argv)
    if not command or command[0] in ("-h", "--help"):
        sys.stdout.write(f"{__doc__}\n")
        return 0 if command else 2
    try:
        jwt = token(environment, ask)
    except LookupError as error:
        sys.stderr.write(f"identity: {error}\n")
        return 2
    if jwt is None:
        return _run(command, environment)
    if not environment.get("AWS_ROLE_ARN"):
        sys.stderr.write("identity: AWS_ROLE_ARN does not say which role this job is to have\n")
        return 2
    with tempfile.TemporaryDirectory(dir=environment.get("RUNNER_TEMP")) as folder:
        file = Path(folder) / "token"
        file.touch(mode=0o600)
        file.write_text(jwt, encoding="utf-8")
        mine = {
            **environment,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
            "AWS_ROLE_SESSION_NAME": f"github-{environment.get('GITHUB_RUN_ID', 'run')}",
        }
        return _run(command, mine)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command and pass signals on: an interrupted deployment still has to roll back."""
    with subprocess.Popen(command, env=dict(environment)) as child:
        passed = {
            number: signal.signal(number, lambda got, _frame: child.send_signal(got))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            return child.wait()
        finally:
            for number, before in passed.items():
                signal.signal(number, before)


if __name__ == "__main__":
    sys.exit(main())
