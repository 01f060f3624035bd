"""Secrets that stand in files: `NAME_FILE` holds the path of a file whose content is NAME's value.

That is how container engines hand over secrets (a mount under /run/secrets): the value then shows up
neither in the container's description nor in the process's environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from app.core.errors import ConfigurationError

SUFFIX: Final = "_FILE"


def read_setting_files(
    names: Iterable[str], places: Sequence[Mapping[str, str | None]]
) -> dict[str, str]:
    """The values of those settings `names` that some place gives by `NAME_FILE`, by upper-case name.

    `places` are where settings are looked for, the strongest first: a setting that a stronger place
    gives, either way, is not read from a weaker one. Names in a place may have any case. The line ends
    that editors leave at a file's end are not part of the value.

    Raises ConfigurationError where one place gives both forms, or a file cannot be read or is empty.
    """
    found: dict[str, str] = {}
    for name in names:
        for place in places:
            given = {key.upper(): value for key, value in place.items() if value}
            path = given.get(name + SUFFIX)
            if path is not None and name in given:
                raise ConfigurationError(
                    f"{name} and {name}{SUFFIX} are both set, in the same place; remove one"
                )
            if path is not None:
                found[name] = _content(name, Path(path))
            if path is not None or name in given:
                break
    return found


def _content(name: str, path: Path) -> str:
    """What the file holds; its content is never part of a message."""
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
        problem = "is empty"
    except OSError as error:
        value, problem = "", f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        value, problem = "", "is no UTF-8 text"
    if not value:
        raise ConfigurationError(
            f"{name}{SUFFIX}={path}: {problem}; name a file that holds the value of {name} alone"
        )
    return value
