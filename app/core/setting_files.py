"""Secrets that stand in files: `NAME_FILE` holds the path of a file whose content is NAME's value.

That is how container engines hand over secrets (a mount under /run/secrets): the value then shows up
neither in the container's description nor in the process's environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from app.core.errors import ConfigurationError

SUFFIX: Final = "_FILE"

_LONGEST: Final = 65_536


def read_setting_files(
    names: Iterable[str], places: Iterable[Mapping[str, str | None]]
) -> dict[str, str]:
    """The values of those settings `names` that some place gives by `NAME_FILE`, by upper-case name.

    `places` are where settings are looked for, the strongest first: a setting that a stronger place
    gives, either way, is not read from a weaker one. Names in a place may have any case. The line ends
    that editors leave at a file's end are not part of the value.

    Raises ConfigurationError where one place gives both forms, or a file cannot be read or is empty.
    """
    names = tuple(names)
    settled: set[str] = set()
    found: dict[str, str] = {}
    for place in places:
        given = {name.upper(): value for name, value in place.items() if value}
        for name in names:
            path = given.get(name + SUFFIX)
            if path is not None and name in given:
                raise ConfigurationError(
                    f"{name} and {name}{SUFFIX} are both set, in the same place; remove one"
                )
            if path is not None and name not in settled:
                found[name] = _content(name, Path(path))
            if path is not None or name in given:
                settled.add(name)
    return found


def _content(name: str, path: Path) -> str:
    """What the file holds; its content is never part of a message."""
    where = f"{name}{SUFFIX}={path}"
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{where}: cannot be read ({error.strerror}); name a file that this process may read"
        ) from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where}: is no UTF-8 text; write the value alone") from None
    value = text.rstrip("\r\n")
    if not value or len(text) > _LONGEST:
        problem = "is too long" if value else "is empty"
        raise ConfigurationError(f"{where}: {problem}; write the value of {name} into it")
    return value
