"""The versions that are deployed: today's code, and what each following image changes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app import __version__
from infra.rehearsal import images
from infra.rehearsal.stage import Stage

_MIGRATIONS: Final = "app/db/migrations/versions"

_ADDING: Final = '''
"""A column that the version before does without."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{new}"
down_revision = "{old}"


def upgrade() -> None:
    """Add the column."""
    op.add_column("gates", sa.Column("note", sa.String(40), nullable=True))
'''

_BROKEN: Final = '''
"""A migration that fails half-way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{new}"
down_revision = "{old}"


def upgrade() -> None:
    """Make one table, and fail at the next step."""
    op.create_table("half_way", sa.Column("id", sa.BigInteger, primary_key=True))
    op.execute("ALTER TABLE candles ADD CONSTRAINT never CHECK (interval_seconds_of_nothing > 0)")
'''


Changes = dict[str, tuple[str, str]]
"""Paths, each with a text in it and what stands there instead."""


def every(head: str) -> dict[str, tuple[Changes, dict[str, str]]]:
    """Each version's changes of the code and its new files. `head` is the newest migration."""
    number = int(head.partition("_")[0])
    adding = f"{number + 1:04d}_from_{head.partition('_')[0]}"
    broken = f"{number + 2:04d}"

    def version(text: str) -> Changes:
        old, new = (f'__version__ = "{number}"' for number in (__version__, text))
        return {"app/__init__.py": (old, new)}

    def needs(new: str) -> Changes:
        return {"app/db/schema.py": (f'HEAD: Final = "{head}"', f'HEAD: Final = "{new}"')}

    add = {f"{_MIGRATIONS}/v{adding}.py": _ADDING.format(new=adding, old=head)}
    fail = {f"{_MIGRATIONS}/v{broken}.py": _BROKEN.format(new=broken, old=adding)}
    header = ('b"x-data-missing", b"%d" % reading', 'b"x-data-mislaid", b"%d" % reading')
    serve = (
        '"""Serve as the settings and the command line say; returns the exit code."""',
        "return 1",
    )
    return {
        "first": (version("0.1.0"), {}),
        "second": ({**version("0.2.0"), **needs(adding)}, add),
        "bad-migration": ({**version("0.3.0"), **needs(broken)}, {**add, **fail}),
        "bad-replies": (
            {**version("0.4.0"), **needs(adding), "app/api/responses.py": header},
            add,
        ),
        "bad-start": ({**version("0.5.0"), **needs(adding), "app/serve.py": serve}, add),
    }


def build_all(stage: Stage, head: str) -> None:
    """Build and push every version. `head` is the newest migration of today's code."""
    ecr = stage.stand_in.client("ecr")
    repository = str(stage.output("ecr_repository_url")).partition("/")[2]
    for name, (changes, files) in every(head).items():
        folder = images.build(stage.folder / "images" / name, changes, files)
        stage.digests[name] = images.push(ecr, repository, name, folder)
        stage.stand_in.images[stage.digests[name]] = Path(folder)
        stage.say(f"pushed {name}: {stage.digests[name]}")
