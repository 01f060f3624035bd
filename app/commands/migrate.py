"""Migrate the database to the schema that this version needs.

exit codes: 0 it is at that version; 2 it could not be brought there, and nothing was changed
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from app.commands import output
from app.commands.command import DONE, NOT_STARTED, CommandFailed, command_parser, run
from app.core.errors import MmsError
from app.core.settings import Settings
from app.db import schema
from app.db.database import announce, open_engine
from app.db.sqlite import require_sound

COMMAND = "migrate"


def main(argv: Sequence[str] | None = None, prog: str = "python -m app.commands.migrate") -> int:
    """Migrate. Exit 0 when the database is at this version's schema, 2 when that failed."""
    parser = command_parser(prog, __doc__)
    return run(COMMAND, parser, argv, _migrate, stays="nothing was changed")


def _migrate(settings: Settings, options: argparse.Namespace) -> int:
    try:
        db_url = settings.db_url.get_secret_value()
        announce(db_url)
        engine = open_engine(db_url)
        try:
            require_sound(engine)
            migrated = schema.migrate(engine)
            version = schema.version(engine)
        finally:
            engine.dispose()
    except MmsError as error:
        raise CommandFailed(NOT_STARTED, str(error)) from error
    state = "migrated to" if migrated else "already at"
    output.say(f"{COMMAND}: the database is {state} version {version}")
    if options.json:
        report = {"command": COMMAND, "exit": DONE, "migrated": migrated, "version": version}
        output.json_line(report)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
