"""The words of a picture in each language, and how that writes numbers and dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from app.core.market import DAY
from app.domain.crossings import distance
from app.domain.fixed_point import text
from app.domain.picture.scales import HOUR, MONTH, YEAR

_CENTS: Final = 2


class Language(Enum):
    """A language of pictures; the value is its tag (BCP 47)."""

    ENGLISH = "en"
    PORTUGUESE = "pt-BR"


@dataclass(frozen=True, slots=True)
class Words:
    """A language: its signs in numbers, its months, and the texts, with names in braces."""

    language: Language
    separator: str
    point: str
    months: tuple[str, ...]
    day: str
    texts: Mapping[str, str]

    def say(self, key: str, **values: object) -> str:
        """The text of this key with the values in it."""
        return self.texts[key].format(**values)

    def count(self, key: str, count: int, **values: object) -> str:
        """The text of `key_one` or `key_many`, by the count."""
        which = "one" if count == 1 else "many"
        return self.say(f"{key}_{which}", count=self.whole(count), **values)

    def whole(self, number: int) -> str:
        """A whole number in groups of three digits."""
        return f"{number:,}".replace(",", self.separator)

    def decimal(self, value: int, places: int | None = None) -> str:
        """A price in 1e-8: all of its digits, two places at least; or so many `places`."""
        whole, _, fraction = text(value).partition(".")
        if places is None:
            fraction = fraction.rstrip("0").ljust(_CENTS, "0")
        else:
            fraction = fraction.ljust(places, "0")[:places]
        return self.whole(int(whole)) + (f"{self.point}{fraction}" if fraction else "")

    def moment(self, bucket: int, step: int) -> str:
        """A bucket in words: its day, and its time of day where days are divided."""
        at = datetime.fromtimestamp(bucket, UTC)
        day = self.day.format(day=at.day, month=self.months[at.month - 1], year=at.year)
        return day if step >= DAY else f"{day}, {at:%H:%M} UTC"

    def tick(self, bucket: int, apart: int) -> str:
        """A bucket at the axis, whose ticks are so many seconds apart."""
        at = datetime.fromtimestamp(bucket, UTC)
        month = self.months[at.month - 1][:3]
        if apart >= YEAR:
            return f"{at.year}"
        if apart >= MONTH:
            return f"{month} {at.year}"
        if apart >= DAY or at.hour * HOUR + at.minute == 0:
            return f"{at.day} {month}"
        return f"{at:%H:%M}"

    def apart(self, close: int, average: int) -> str:
        """How far a close lies from an average, in per cent with two places."""
        share = distance(close, average)
        digits = int(share.lstrip("-").replace(".", ""))
        if digits == 0:
            return self.say("at")
        percent = f"{self.whole(digits // 100)}{self.point}{digits % 100:02d}"
        return self.say("below" if share.startswith("-") else "above", percent=percent)


_ENGLISH: Final = Words(
    Language.ENGLISH,
    ",",
    ".",
    (
        *("January", "February", "March", "April", "May", "June", "July"),
        *("August", "September", "October", "November", "December"),
    ),
    "{day} {month} {year}",
    {
        "title": "{symbol} at {interval}",
        "closed": "the candle of {moment} closed at {close} {quote}",
        "above": ", {percent} % above its average of 200",
        "below": ", {percent} % below its average of 200",
        "at": ", at its average of 200",
        "without": ", and has no average of 200",
        "missing_one": "; {count} of {expected} buckets has no candle.",
        "missing_many": "; {count} of {expected} buckets have no candle.",
        "complete": "; no bucket is missing.",
        "as_of": "as of {moment}",
        "stale": "stale: newer candles are due",
        "average": "average of {window}",
        "none": "{name} (none here)",
        "candles": "hollow: up, filled: down",
        "band": "close, in a band from low to high",
        "holes": "no candle: {causes}",
        "hole_one": "no candle: {cause}, {first}",
        "hole_many": "no candle: {cause}, {count} buckets, {first} to {last}",
        "hole_of_many": "no candle: {cause} ({count})",
        "revised": "revised ({count})",
        "running": "(running)",
        "volume": "volume",
        "empty": "No candle in this period.",
        "never-fetched": "never fetched",
        "refused": "refused",
        "absent": "absent",
        "confirmed-absent": "confirmed absent",
    },
)

_PORTUGUESE: Final = Words(
    Language.PORTUGUESE,
    ".",
    ",",
    (
        *("janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho"),
        *("agosto", "setembro", "outubro", "novembro", "dezembro"),
    ),
    "{day} de {month} de {year}",
    {
        "title": "{symbol} em {interval}",
        "closed": "o candle de {moment} fechou a {close} {quote}",
        "above": ", {percent} % acima da sua média de 200",
        "below": ", {percent} % abaixo da sua média de 200",
        "at": ", na sua média de 200",
        "without": ", e não tem média de 200",
        "missing_one": "; falta {count} de {expected} candles.",
        "missing_many": "; faltam {count} de {expected} candles.",
        "complete": "; nenhum candle falta.",
        "as_of": "dados até {moment}",
        "stale": "desatualizado: faltam candles mais novos",
        "average": "média de {window}",
        "none": "{name} (nenhuma aqui)",
        "candles": "vazado: alta, cheio: baixa",
        "band": "fechamento, na faixa da mínima à máxima",
        "holes": "sem candle: {causes}",
        "hole_one": "sem candle: {cause}, {first}",
        "hole_many": "sem candle: {cause}, {count} candles, {first} a {last}",
        "hole_of_many": "sem candle: {cause} ({count})",
        "revised": "revisado ({count})",
        "running": "(em formação)",
        "volume": "volume",
        "empty": "Nenhum candle neste período.",
        "never-fetched": "nunca buscado",
        "refused": "recusado",
        "absent": "ausente",
        "confirmed-absent": "ausência confirmada",
    },
)

WORDS: Final = {each.language: each for each in (_ENGLISH, _PORTUGUESE)}
