"""Back a database up, or restore it.

A backup is one file that can be restored into SQLite or PostgreSQL. It is a snapshot of one moment,
whatever is written meanwhile. The same content has the same hash, whichever database it comes from.

exit codes: 0 done; 1 it did not work this time (the database does not answer, the disk is full) and
nothing was changed; 2 something must be changed first: a setting, the file, the database
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.commands import output
from app.commands.command import (
    DONE,
    NOT_STARTED,
    SOME_FAILED,
    CommandFailed,
    Parser,
    add_json,
    plain_parser,
    run,
)
from app.core.errors import MmsError, StoreUnavailable
from app.core.ports import Clock
from app.core.settings import Settings
from app.db.backup.archive import Content
from app.db.backup.content import back_up, restore
from app.db.database import announce, open_engine, require_file


def main(
    argv: Sequence[str] | None = None,
    prog: str = "python -m app.commands.backup",
    clock: Clock = time.time,
) -> int:
    """Run the command. Exit 0 done, 1 failed and nothing changed, 2 refused."""
    arguments = sys.argv[1:] if argv is None else argv
    command = "restore" if arguments[:1] == ["restore"] else "backup"

    def work(settings: Settings, options: argparse.Namespace) -> int:
        try:
            content = _content(options, settings.db_url.get_secret_value(), clock)
        except StoreUnavailable as error:
            raise CommandFailed(SOME_FAILED, f"{error}; nothing was changed") from error
        except OSError as error:
            reason = f"{options.file}: {error.strerror}; nothing was changed"
            raise CommandFailed(SOME_FAILED, reason) from error
        except MmsError as error:
            raise CommandFailed(NOT_STARTED, str(error)) from error
        _say(options, content)
        return DONE

    return run(command, _parser(prog), arguments, work, stays="nothing was changed")


def _content(options: argparse.Namespace, db_url: str, clock: Clock) -> Content:
    announce(db_url)
    if options.command != "restore":
        require_file(db_url)
    engine = open_engine(db_url)
    try:
        if options.command == "backup":
            return back_up(engine, options.file, clock)
        return restore(engine, options.file, replace=options.replace)
    finally:
        engine.dispose()


def _parser(prog: str) -> Parser:
    parser = plain_parser(prog, __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    back, put = (
        commands.add_parser(name, help=text, description=text)
        for name, text in (
            ("backup", "write all data of DB_URL's database into FILE"),
            ("restore", "put the data of FILE into DB_URL's database, which must be empty"),
        )
    )
    for command in (back, put):
        command.add_argument("file", type=Path, metavar="FILE")
        add_json(command)
    put.add_argument(
        "--replace", action="store_true", help="the database need not be empty; lose what is there"
    )
    return parser


def _say(options: argparse.Namespace, content: Content) -> None:
    """For people on standard error, for programs on standard output."""
    command: str = options.command
    verb = "written to" if command == "backup" else "restored from"
    output.say(
        f"{command}: {sum(content.rows.values())} rows of {len(content.rows)} tables {verb} "
        f"{options.file} (schema {content.schema}, sha256 {content.sha256})"
    )
    if options.json:
        report = {"command": command, "exit": DONE, "schema": content.schema}
        tables = {name: {"rows": rows} for name, rows in content.rows.items()}
        output.json_line({**report, "sha256": content.sha256, "tables": tables})


if __name__ == "__main__":
    sys.exit(main())
