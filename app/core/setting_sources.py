"""The sources of settings: the environment and `.env`. Either holds a secret or its NAME_FILE.

NAME_FILE holds the path of a file whose content is the value of NAME. Container engines pass
secrets that way: the value is then neither in the container's description nor in its environment.

Names may have any case. An empty value means that the setting is not set. No message repeats a
value: a URL or a key may stand in the wrong line.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final, Literal

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Atom, Variable, parse_variables
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.core.errors import ConfigurationError

SUFFIX: Final = "_FILE"

KEYS: Final = "API_KEYS"

SECRETS: Final = ("DB_URL", "DB_READ_URL", "CACHE_SECRET", "COINGECKO_API_KEY", KEYS)
"""Settings that may be in a file of their own."""

_OF_OTHERS: Final = frozenset({"API_KEY", "APP_KEYS", "LOGLEVEL"})
"""Variables of other programs that are an edit away from a setting.

A misspelling of API_KEYS opens nothing, and one of LOG_LEVEL changes no answer.
"""

_NAME: Final = re.compile(r"[\w.-]+")
_SINGLE_QUOTED: Final = re.compile(r"[^=]*=[^\S\r\n]*'")


def is_shells_own(env: str) -> bool:
    """Whether a value of ENV is a path: shells read their start-up file at $ENV (POSIX, sh)."""
    return "/" in env or "\\" in env or env.startswith(("~", "$", "."))


class PlaceSource(PydanticBaseSettingsSource):
    """The settings in one place, such as the process's environment.

    A setting that a stronger source has, in either form, is not looked up. `without` names settings
    that are left out. Raises ConfigurationError where the place has both forms of a secret, or
    names a file that cannot be used.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        place: Mapping[str, str],
        without: Sequence[str] = (),
    ) -> None:
        super().__init__(settings_cls)
        self._place = {name: value for name, value in _set(place).items() if name not in without}

    def get(self, name: str) -> str:
        """The value written under an upper-case name; empty where there is none."""
        return self._place.get(name, "")

    def get_field_value(
        self, field: FieldInfo, field_name: str  # noqa: ARG002 - the name is enough
    ) -> tuple[Any, str, bool]:
        """The value as text or None, the field's name, and False: the text is no JSON."""
        name = field_name.upper()
        value = self._place.get(name)
        path = self._place.get(name + SUFFIX) if name in SECRETS else None
        if path is not None and value is not None:
            raise ConfigurationError(
                f"{name} and {name}{SUFFIX} are both set, in the same place; remove one"
            )
        return value if path is None else read_secret(name, Path(path)), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of this place, by the field's name."""
        values = {}
        for name, field in self.settings_cls.model_fields.items():
            # A path beside the secret itself counts only if the secret comes from there.
            secret = name.removesuffix(SUFFIX.lower())
            if name not in self.current_state and secret not in self.current_state:
                value, key, _ = self.get_field_value(field, name)
                if value is not None:
                    values[key] = value
        return values


class EnvironmentSource(PlaceSource):
    """The process's environment.

    Raises ConfigurationError also where a name is a misspelling of a setting that is not set there.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        environment: Mapping[str, str],
        without: Sequence[str] = (),
    ) -> None:
        values = _set(environment)
        names = _names_of(settings_cls)
        present = {name.removesuffix(SUFFIX) for name in names if name in values}
        absent = [name for name in names if name.removesuffix(SUFFIX) not in present]
        for name in values:
            meant = None if name in names else _meant_in_environment(name, absent)
            if meant:
                raise ConfigurationError(
                    f"{name} in the environment is not a setting; {meant} is: rename it or remove it"
                )
        super().__init__(settings_cls, environment, without)


class EnvFileSource(PlaceSource):
    """A `.env` file, where there is one.

    Raises ConfigurationError also where the file cannot be read, and where a name in it is almost
    that of a setting: that is a typing error, not another program's variable.
    """

    def __init__(self, settings_cls: type[BaseSettings], path: Path | None) -> None:
        place = {} if path is None else read_env_file(path)
        names = _names_of(settings_cls)
        for name in place:
            meant = None if name.upper() in names else _meant_in_file(name.upper(), names)
            if meant:
                raise ConfigurationError(
                    f"{name} in {path} is not a setting; {meant} is: rename it or remove the line"
                )
        super().__init__(settings_cls, place)


def _set(place: Mapping[str, str]) -> dict[str, str]:
    """The values that are not empty, by upper-case name."""
    # A shell that has read a file of Windows leaves a carriage return in each value.
    values = {name.upper(): value.rstrip("\r\n") for name, value in place.items()}
    return {name: value for name, value in values.items() if value}


def _names_of(settings_cls: type[BaseSettings]) -> list[str]:
    """Every name under which a setting can be written."""
    names = [*map(str.upper, settings_cls.model_fields), *(name + SUFFIX for name in SECRETS)]
    return list(dict.fromkeys(names))


def _meant_in_file(name: str, names: Sequence[str]) -> str | None:
    """The setting that a name in `.env` means, if any: the file is ours, so any likeness counts."""
    near = [each for each in names if _edits(name, each)]
    return next(iter(near or difflib.get_close_matches(name, names, n=1, cutoff=0.85)), None)


def _meant_in_environment(name: str, names: Sequence[str]) -> str | None:
    """The setting that a name in the environment means, if any: an edit away.

    Most names there are other programs'. A setting of one word (HOST, WORKERS) is too common a word
    for that: of those only swapped letters count.
    """
    if name in _OF_OTHERS:
        return None
    edits = ((each, _edits(name, each)) for each in names)
    return next((each for each, kind in edits if kind == "swap" or (kind and "_" in each)), None)


def _edits(one: str, other: str) -> Literal["", "swap", "letter"]:
    """How the texts differ: by two letters that are swapped, by one letter, or else otherwise.

    One letter may be another, missing or added (a Damerau-Levenshtein distance of 1).
    """
    # One edit leaves one of the two ends as it is. Most pairs of names go here.
    if (one[0] != other[0] and one[-1] != other[-1]) or abs(len(one) - len(other)) > 1:
        return ""
    short, long = sorted((one, other), key=len)
    at = next((i for i, letter in enumerate(short) if letter != long[i]), len(short))
    if len(short) < len(long):
        return "letter" if short[at:] == long[at + 1 :] else ""
    if short[at + 1 :] == long[at + 1 :]:
        return "letter"
    swapped = short[:at] + short[at : at + 2][::-1] + short[at + 2 :]
    return "swap" if swapped == long else ""


def read_env_file(path: Path) -> dict[str, str]:
    """Read the values in the file, by name as written there; empty where there is no file.

    Variables are expanded as in python-dotenv, but not in single quotes: a password may hold `${`.
    Elsewhere a secret must not lose the part between the braces: its variables must exist.

    Raises ConfigurationError for such a secret, and where the path is not a regular file, cannot be
    read, is not UTF-8 text, or has a line that is neither NAME=value nor a comment. If such a line
    were ignored, its setting would silently fall back to the default, for example to the default's
    database.
    """
    if not os.path.lexists(path):
        return {}
    values: dict[str, str] = {}
    for binding in parse_stream(StringIO(_env_text(path))):
        name, value = binding.key, binding.value
        if name is None and not binding.error:  # a comment, or empty lines at the end
            continue
        # The parser accepts a name alone, and a URL before an equals sign.
        if name is None or value is None or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{path}, line {_line(binding)}, is not NAME=value, or opens a quote and does not "
                "close it: correct the line, or put # before it"
            )
        if not _SINGLE_QUOTED.match(binding.original.string):
            variables = {**os.environ, **values}
            atoms = list(parse_variables(value))
            if name.upper() in SECRETS and any(_is_absent(atom, variables) for atom in atoms):
                raise ConfigurationError(
                    f"{path}, line {_line(binding)}: {name} holds ${{…}}, and there is no such "
                    "variable: set it, or put the value in single quotes to keep it as it is"
                )
            value = "".join(atom.resolve(variables) for atom in atoms)
        values[name] = value
    return values


def _is_absent(atom: Atom, variables: Mapping[str, str]) -> bool:
    return isinstance(atom, Variable) and atom.default is None and atom.name not in variables


def _env_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise ConfigurationError(
                f"{path} is not a regular file: write the settings into one, or remove it"
            )
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): let this process read it, or remove it"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path}, line {line}, is not UTF-8 text: save the file as UTF-8"
        ) from None


def _line(binding: Binding) -> int:
    """The line number of the binding; the parser counts from the empty lines before it."""
    text = binding.original.string
    empty = text[: len(text) - len(text.lstrip())]
    return binding.original.line + empty.count("\n")


def read_secret(name: str, path: Path) -> str:
    """Read the secret in a file, without the line ends and the byte order mark that editors add.

    Raises ConfigurationError where it cannot be read, or is empty: that of keys alone may be, once
    the last one is revoked. No message repeats the path either: it may be the secret itself, in the
    wrong setting.
    """
    try:
        value = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
        if value or name == KEYS:
            return value
        problem = "is empty"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except ValueError:
        problem = "is not UTF-8 text"
    raise ConfigurationError(
        f"{name}{SUFFIX}: the file {problem}; give the path of one that holds the value of "
        f"{name} alone"
    )
