"""Settings: read once from the environment and `.env`, checked, frozen, and passed down.

A bad value raises ConfigurationError with one line that names the setting, what is wrong with the
value and how to write it. `.env.example` lists every setting with its default; a test keeps the two
equal. What is secret may also come from a file that `NAME_FILE` names.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.env_file import read_env_file
from app.core.errors import ConfigurationError, MmsError
from app.core.market import Interval, Pair
from app.core.prices import COIN_IDS, Coin, Thresholds
from app.core.setting_files import SUFFIX, read_setting_files
from app.core.upstream import base_url, can_be_key

ENV_FILE: Final = Path(".env")

SECRETS: Final = ("DB_URL", "DB_READ_URL", "COINGECKO_API_KEY")
"""Settings whose value is never shown, and may come from a file that NAME_FILE names."""

BASE_URLS: Final = ("mb_api_base_url", "mb_legacy_api_base_url", "coingecko_api_base_url")

_DATABASES: Final = ("sqlite", "postgresql", "postgresql+psycopg")
_POSTGRES_PORT: Final = ":5432"


class Settings(BaseSettings):
    """Every setting of the product, with its default. Upper-case names in the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    env: Literal["dev", "prod"] = "dev"
    db_url: str = "sqlite:///./data/mms.db"
    db_read_url: str | None = None
    single_node: bool | None = None

    cache_url: str = "memory://"
    cache_ttl_seconds: int = Field(default=3_600, ge=1, le=2_592_000)

    allowed_pairs: Annotated[tuple[Pair, ...], NoDecode] = (Pair("BTC", "BRL"), Pair("ETH", "BRL"))
    intervals: Annotated[tuple[Interval, ...], NoDecode] = (Interval.DAY,)
    history_days: int = Field(default=365, ge=1, le=10_000)

    candle_source: Literal["mercado_bitcoin", "mercado_bitcoin_legacy"] = "mercado_bitcoin"
    mb_api_base_url: str = "https://api.mercadobitcoin.net/api/v4"
    mb_legacy_api_base_url: str = "https://mobile.mercadobitcoin.com.br/v4"
    mb_requests_per_second: float = Field(default=1.0, ge=0.001, le=10_000)
    upstream_retry_seconds: float = Field(default=90.0, gt=0, le=3_600)

    allowed_symbols: Annotated[tuple[Coin, ...], NoDecode] = tuple(
        Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items()
    )
    coingecko_api_base_url: str = "https://api.coingecko.com/api/v3"
    coingecko_api_key: SecretStr | None = None
    coingecko_requests_per_second: float = Field(default=0.5, ge=0.001, le=10_000)
    price_currency: Literal["usd", "brl", "eur"] = "usd"
    price_poll_seconds: int = Field(default=300, ge=1, le=86_400)
    price_stale_seconds: int = Field(default=900, ge=1, le=604_800)
    price_retention_days: int = Field(default=0, ge=0, le=36_500)
    anomaly_threshold: Annotated[Thresholds, NoDecode] = Thresholds(Decimal("0.05"))

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    access_log: Literal["on", "off"] = "on"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "console", "json"] = "auto"

    @field_validator("allowed_pairs", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        return _listed(value, Pair.parse)

    @field_validator("intervals", mode="before")
    @classmethod
    def _intervals(cls, value: Any) -> Any:
        return _listed(value, Interval.parse)

    @field_validator("allowed_symbols", mode="before")
    @classmethod
    def _symbols(cls, value: Any) -> Any:
        coins = _listed(value, Coin.parse)
        if isinstance(coins, tuple) and len({coin.symbol for coin in coins}) < len(coins):
            raise PydanticCustomError("symbols", "names one symbol twice; name each once")
        return coins

    @field_validator("anomaly_threshold", mode="before")
    @classmethod
    def _thresholds(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return Thresholds.parse(value)
        except MmsError as error:
            raise PydanticCustomError("threshold", "{reason}", {"reason": str(error)}) from None

    @field_validator("price_currency", "log_level", mode="before")
    @classmethod
    def _cased(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "log_level" else value.lower()

    @field_validator("db_url")
    @classmethod
    def _database(cls, value: str) -> str:
        if _scheme(value) not in _DATABASES:
            raise PydanticCustomError(
                "db_url",
                "is no URL of SQLite or PostgreSQL; write sqlite:///./data/mms.db or "
                "postgresql://user:password@host:5432/name (a [ in the password as %5B)",
            )
        return value

    @field_validator("db_read_url")
    @classmethod
    def _replica(cls, value: str | None) -> str | None:
        if not value or value == "none://":
            return None
        if _scheme(value) not in _DATABASES[1:]:
            raise PydanticCustomError(
                "db_read_url",
                "is no URL of a PostgreSQL replica; write "
                "postgresql://user:password@replica:5432/name, or leave it empty",
            )
        return value

    @field_validator("cache_url")
    @classmethod
    def _cache(cls, value: str) -> str:
        if value not in ("memory://", "none://"):
            cache_nodes(value)
        return value

    @field_validator(*BASE_URLS)
    @classmethod
    def _base_url(cls, value: str) -> str:
        return base_url(value)

    @field_validator("coingecko_api_key")
    @classmethod
    def _api_key(cls, value: SecretStr | None) -> SecretStr | None:
        key = "" if value is None else value.get_secret_value().strip()
        if key and not can_be_key(key):
            raise PydanticCustomError(
                "api_key",
                "holds characters that no key has (a space, a quote, a line break?); copy it again "
                "from CoinGecko's dashboard, or remove it to ask without a key",
            )
        return SecretStr(key) if key else None

    @model_validator(mode="after")
    def _thresholds_of_something(self) -> Self:
        known = [coin.symbol for coin in self.allowed_symbols]
        known += [pair.base for pair in self.allowed_pairs if pair.base not in known]
        for symbol, value in self.anomaly_threshold.by_symbol:
            if symbol not in known:
                raise PydanticCustomError(
                    "threshold_symbol",
                    "ANOMALY_THRESHOLD={written} is for a symbol that is neither among "
                    "ALLOWED_SYMBOLS nor in ALLOWED_PAIRS; use one of {known}",
                    {"written": f"{symbol}:{value}", "known": ", ".join(known)},
                )
        return self

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if self.env == "prod" and self.db_url.startswith("sqlite") and self.single_node is not True:
            raise PydanticCustomError(
                "single_node",
                "DB_URL is SQLite and ENV is prod: several tasks cannot share one file; "
                "set DB_URL to PostgreSQL, or SINGLE_NODE=true where there is one machine",
            )
        return self

    @model_validator(mode="after")
    def _replica_of_something_else(self) -> Self:
        if self.db_read_url is None:
            return self
        if self.db_url.startswith("sqlite"):
            raise PydanticCustomError(
                "replica",
                "DB_READ_URL names a replica and DB_URL is SQLite, which has none: "
                "set DB_URL to the PostgreSQL primary, or leave DB_READ_URL empty",
            )
        if _place(self.db_read_url) == _place(self.db_url):
            raise PydanticCustomError(
                "replica",
                "DB_READ_URL is DB_URL's own database: name the replica's address, or leave "
                "DB_READ_URL empty where there is no replica",
            )
        return self


def _scheme(url: str) -> str:
    """What kind of URL it is; empty where it cannot be read as one."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _place(db_url: str) -> tuple[str, str, str]:
    """Where a database is, whoever connects to it."""
    parts = urlsplit(db_url)
    hosts = parts.netloc.rpartition("@")[2].lower().removesuffix(_POSTGRES_PORT)
    return hosts, parts.path, parts.query


def cache_nodes(cache_url: str) -> list[tuple[str, int]]:
    """The (host, port) of each node of a `memcached://host:port[,host:port…]` URL."""
    scheme, _, rest = cache_url.partition("://")
    nodes = []
    for item in rest.rstrip("/").split(","):
        host, _, port = item.strip().rpartition(":")
        usable = port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536
        if scheme != "memcached" or not host or not usable:
            raise PydanticCustomError(
                "cache_url",
                "is no cache; write memory://, none://, or memcached://host:port[,host:port…]",
            )
        nodes.append((host.strip("[]"), int(port)))
    return list(dict.fromkeys(nodes))


def load_settings(env_file: Path | None = ENV_FILE, **overrides: Any) -> Settings:
    """Read the settings: `overrides`, then the environment, then `env_file`, then the defaults.

    Environment and `env_file` give a secret itself or, as NAME_FILE, the file that holds it.
    Raises ConfigurationError: one line that names the setting, the problem and the fix.
    """
    written = {} if env_file is None else read_env_file(env_file)
    _refuse_misspelt(written, env_file)
    files = read_setting_files(SECRETS, [os.environ, written])
    from_files = {name.lower(): value for name, value in files.items()}
    try:
        return Settings(_env_file=env_file, **{**from_files, **overrides})
    except ValidationError as error:
        raise ConfigurationError("; ".join(_line(item) for item in error.errors())) from None


def _listed(value: Any, parse: Any) -> Any:
    """A comma-separated list, each item once, through `parse`; anything else as it came."""
    if not isinstance(value, str):
        return value
    items = [item.strip() for item in value.split(",") if item.strip()]
    if not items:
        raise PydanticCustomError("list", "is empty; write one item or several with commas between")
    try:
        return tuple(dict.fromkeys(parse(item) for item in items))
    except MmsError as error:
        raise PydanticCustomError("item", "{reason}", {"reason": str(error)}) from None


def _line(item: Any) -> str:
    """One validation problem as `NAME=value: problem`; what may hold a secret is not repeated."""
    if not item["loc"]:
        return str(item["msg"])
    name = str(item["loc"][0]).upper()
    # A URL may hold a password, too.
    shown = "" if name in SECRETS or name.lower() in BASE_URLS else f"={item['input']}"
    return f"{name}{shown}: {item['msg']}"


def _refuse_misspelt(written: Iterable[str], env_file: Path | None) -> None:
    """A name in `.env` that is almost a setting's is a typing error, not another program's."""
    known = [*map(str.upper, Settings.model_fields), *(name + SUFFIX for name in SECRETS)]
    for name in written:
        if name.upper() in known:
            continue
        close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.85)
        if close:
            raise ConfigurationError(
                f"{name} in {env_file} is not a setting; {close[0]} is: rename it or remove the line"
            )
