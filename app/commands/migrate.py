"""python -m app.commands.migrate: bring the database to the schema that this version needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from app.core.errors import MmsError
from app.core.settings import load_settings
from app.db import schema
from app.db.database import open_engine
from app.db.sqlite import require_sound


def main(argv: Sequence[str] | None = None) -> int:
    """Migrate. Exit 0 when the database is at the newest version, 2 when it could not be brought there."""
    parser = argparse.ArgumentParser(prog="python -m app.commands.migrate", description=__doc__)
    parser.parse_args(argv)
    try:
        engine = open_engine(load_settings().db_url)
        try:
            require_sound(engine)
            done = schema.migrate(engine)
            found = schema.version(engine)
        finally:
            engine.dispose()
    except MmsError as error:
        sys.stderr.write(f"migrate: {error}\n")
        return 2
    state = "migrated to" if done else "already at"
    sys.stderr.write(f"migrate: the database is {state} version {found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
