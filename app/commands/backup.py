"""python -m app.commands.backup: back a database up, or restore it.

A backup is one file that SQLite and PostgreSQL share: it is restored into either. It is of one moment,
whatever is written meanwhile. Its hash is the same for the same content of either database.

exit codes: 0 done; 1 it did not work this time (the database does not answer, the disk is full) and
nothing was changed; 2 something must be changed first: a setting, the file, the database
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app import raise_interrupts
from app.core import logging
from app.core.errors import MmsError, StoreUnavailable
from app.core.ports import Clock
from app.core.settings import load_settings
from app.db.backup.archive import Content
from app.db.backup.content import back_up, restore
from app.db.database import open_engine, require_file

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 2


def main(argv: Sequence[str] | None = None, clock: Clock = time.time) -> int:
    """Run the command. Exit 0 done, 1 failed and nothing changed, 2 refused."""
    options = _parser().parse_args(argv)
    command: str = options.command
    logging.configure()
    try:
        raise_interrupts()
        settings = load_settings()
        logging.configure(settings.log_level, settings.log_format)
        content = _run(options, settings.db_url, clock)
    except StoreUnavailable as error:
        sys.stderr.write(f"{command}: {error}; nothing was changed\n")
        return FAILED
    except OSError as error:
        sys.stderr.write(f"{command}: {options.file}: {error.strerror}; nothing was changed\n")
        return FAILED
    except MmsError as error:
        sys.stderr.write(f"{command}: {error}\n")
        return REFUSED
    except KeyboardInterrupt:
        sys.stderr.write(f"{command}: interrupted; nothing was changed\n")
        return 128 + signal.SIGINT
    _say(options, content)
    return DONE


def _run(options: argparse.Namespace, db_url: str, clock: Clock) -> Content:
    if options.command != "restore":
        require_file(db_url)
    engine = open_engine(db_url)
    try:
        if options.command == "backup":
            return back_up(engine, options.file, clock)
        return restore(engine, options.file, replace=options.replace)
    finally:
        engine.dispose()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app.commands.backup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        command.add_argument(
            "--json", action="store_true", help="end with one line of JSON on standard output"
        )
    put.add_argument(
        "--replace", action="store_true", help="the database need not be empty; lose what is there"
    )
    return parser


def _say(options: argparse.Namespace, content: Content) -> None:
    """For people on standard error, for programs on standard output."""
    command: str = options.command
    if options.json:
        tables = {name: {"rows": rows} for name, rows in content.rows.items()}
        said = {"command": command, "schema": content.schema, "sha256": content.sha256}
        sys.stdout.write(json.dumps({**said, "tables": tables}) + "\n")
    done = "written to" if command == "backup" else "restored from"
    sys.stderr.write(
        f"{command}: {sum(content.rows.values())} rows of {len(content.rows)} tables {done} "
        f"{options.file} (schema {content.schema}, sha256 {content.sha256})\n"
    )


def _terminated(_signal: int, _frame: object) -> None:
    """End as an interrupt would, so that nothing half-written is left lying about."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main())
