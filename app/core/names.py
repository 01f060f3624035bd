"""Names of coins and pairs, in one spelling each.

A name is not ours to guess: the sources have tickers of one letter (`S`), of digits, with signs
(`$WIF`) and in other scripts (`币安人生`). So it may hold anything that can be told apart, but two
spellings of one name must never become two series.
"""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST_SYMBOL: Final = 40
"""The most characters of a coin's symbol: what its column in the database holds."""

LONGEST_CURRENCY: Final = 12
"""The most characters of each currency of a pair; its column holds both and a hyphen."""

LONGEST_ID: Final = 200
"""The most characters of CoinGecko's id of a coin."""

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, of marks without a shape, and of line ends."""

_SELECTORS: Final = range(0xFE00, 0xFE10)


class UnusableName(ValueError):
    """The text cannot be a name; the message is the end of a sentence that begins with it."""


def symbol(text: str) -> str:
    """Normalise the symbol of a coin, which may have any case, to upper case.

    Raises UnusableName.
    """
    return cased(_plain(text, LONGEST_SYMBOL, ",:"))


def currency(text: str) -> str:
    """Normalise a currency of a pair as `symbol` does. Raises UnusableName.

    A slash would separate it from what follows a pair in our addresses.
    """
    return cased(_plain(text, LONGEST_CURRENCY, ",:;/"))


def coin_id(text: str) -> str:
    """Normalise CoinGecko's id of a coin to lower case, as it writes them. Raises UnusableName.

    A comma separates ids in our settings and in requests to CoinGecko.
    """
    name = _plain(text, LONGEST_ID, ",")
    strange = next((char for char in name if not _has_own_case(char)), None)
    if strange is not None:
        raise UnusableName(f"holds {strange!r}, which is no letter of an id")
    return name.lower()


def cased(text: str) -> str:
    """Change the letters to upper case, except those that another letter's upper case stands for.

    Long s and dotless i would become `S` and `I`: another name than the one that is written.
    """
    composed = unicodedata.normalize("NFC", text)
    letters = (char.upper() if _has_own_case(char) else char for char in composed)
    return unicodedata.normalize("NFC", "".join(letters))


def skeleton(name: str) -> str:
    """Reduce a name to what a reader sees of it: equal where two cannot be told apart."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(
        char for char in unicodedata.normalize("NFKC", folded) if ord(char) not in _SELECTORS
    )


def _plain(text: str, longest: int, separators: str) -> str:
    """The text in one spelling of its spaces and accents. Raises UnusableName."""
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    if name in ("", ".", ".."):  # the last two mean something else in an address
        raise UnusableName("is no name")
    for char in name:
        if unicodedata.category(char) in _UNSEEN:
            raise UnusableName(f"holds {char!r}, which nobody sees")
        if char in separators:
            raise UnusableName(f"holds {char!r}, which separates names here")
    if len(name) > longest:
        raise UnusableName(f"has {len(name)} characters and at most {longest} are stored")
    return name


def _has_own_case(char: str) -> bool:
    """Whether the upper case of this character belongs to it alone, or is itself."""
    return len(char.upper()) == 1 and char.upper().lower() == char.lower()
