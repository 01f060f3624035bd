"""One of several API processes. `app.supervisor` starts it and hands over what it works with."""

from __future__ import annotations

import sys

from app import serve, supervisor
from app.commands import command
from app.core import logging


def main() -> int:
    """Serve until the parent says so or ends; returns the exit code."""
    job, channel, listeners = supervisor.received_job()
    settings = job.settings
    logging.configure(settings.log_level, settings.log_format, secrets=settings.secrets())
    try:
        return serve.work(job, channel, listeners)
    except Exception as error:  # noqa: BLE001 - the parent explains it
        code, reason = command.meaning(error, serve.COMMAND, stays="")
        channel.failed(reason)
        return code


if __name__ == "__main__":
    sys.exit(main())
