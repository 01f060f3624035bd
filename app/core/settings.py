"""Settings: read once from their sources, checked, frozen, and passed down.

A bad value raises ConfigurationError with one line that names the setting, the problem and how to
write the value. `.env.example` lists every setting with its default; a test keeps the two equal.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.core import names, setting_edge, setting_problems, setting_urls, setting_values
from app.core.api_keys import COLLECT, ApiKey, read_keys
from app.core.errors import ConfigurationError, MmsError
from app.core.logging import Format, Level
from app.core.market import Interval, Pair
from app.core.prices import COIN_IDS, Coin, Thresholds
from app.core.redaction import secrets_in
from app.core.setting_edge import Network, Rate
from app.core.setting_sources import EnvFileSource, EnvironmentSource, is_shells_own

ENV_FILE: Final = Path(".env")

_HIDDEN: Final[Any] = Field(repr=False)
"""Marks a setting that may hold a password or a key: neither errors nor `repr` show its value."""

_BASE_URLS: Final = ("mb_api_base_url", "mb_legacy_api_base_url", "coingecko_api_base_url")

OWN_ADDRESSES: Final = frozenset(
    [
        "anomaly",
        "collect-once",
        "docs",
        "health",
        "healthz",
        "history",
        "latest",
        "openapi.json",
        "page",
        "pairs",
        "readyz",
        "stream",
        "supported-symbols",
    ]
)
"""What the paths of the API begin with, besides pairs."""

MOST_WORKERS: Final = 64

SHORTEST_SECRET: Final = 16
"""Characters of CACHE_SECRET."""

_KEY: Final = re.compile(r"[A-Za-z0-9+/=._~:@-]{1,512}", re.ASCII)


class Settings(BaseSettings):
    """Every setting of the product, with its default. Upper-case names in the environment.

    `env_file` is an argument but not a setting: the path of the `.env` to read, if any.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    env: Literal["dev", "prod"] = "dev"
    db_url: Annotated[SecretStr, _HIDDEN] = SecretStr("sqlite:///./data/mms.db")
    db_read_url: Annotated[SecretStr | None, _HIDDEN] = None
    single_node: bool | None = None

    cache_url: Annotated[SecretStr, _HIDDEN] = SecretStr("memory://")
    cache_ttl_seconds: int = Field(default=3_600, ge=1, le=2_592_000)
    cache_secret: Annotated[SecretStr | None, _HIDDEN] = None

    allowed_pairs: tuple[Pair, ...] = (Pair("BTC", "BRL"), Pair("ETH", "BRL"))
    intervals: tuple[Interval, ...] = (Interval.DAY,)
    history_days: int = Field(default=365, ge=1, le=10_000)

    candle_source: Literal["mercado_bitcoin", "mercado_bitcoin_legacy"] = "mercado_bitcoin"
    mb_api_base_url: Annotated[SecretStr, _HIDDEN] = SecretStr(
        "https://api.mercadobitcoin.net/api/v4"
    )
    mb_legacy_api_base_url: Annotated[SecretStr, _HIDDEN] = SecretStr(
        "https://mobile.mercadobitcoin.com.br/v4"
    )
    mb_requests_per_second: float = Field(default=1.0, ge=0.001, le=10_000)
    upstream_retry_seconds: float = Field(default=90.0, gt=0, le=3_600)

    allowed_symbols: tuple[Coin, ...] = tuple(
        Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items()
    )
    coingecko_api_base_url: Annotated[SecretStr, _HIDDEN] = SecretStr(
        "https://api.coingecko.com/api/v3"
    )
    coingecko_api_key: Annotated[SecretStr | None, _HIDDEN] = None
    coingecko_requests_per_second: float = Field(default=0.5, ge=0.001, le=10_000)
    coingecko_monthly_calls: Literal["off"] | Annotated[int, Field(ge=1, le=1_000_000_000)] = 10_000
    price_currency: Literal["usd", "brl", "eur"] = "usd"
    price_poll_seconds: int = Field(default=300, ge=1, le=86_400)
    collect_min_seconds: int = Field(default=60, ge=0, le=86_400)
    price_stale_seconds: int = Field(default=900, ge=1, le=604_800)
    price_retention_days: int = Field(default=0, ge=0, le=36_500)
    anomaly_threshold: Thresholds = Thresholds(Decimal("0.05"))

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    workers: int = 1
    root_path: str = ""
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()

    api_keys: Annotated[tuple[ApiKey, ...], _HIDDEN] = ()
    api_keys_file: Annotated[Path | None, _HIDDEN] = None
    read_access: Literal["open", "key"] = "open"
    collect_access: Literal["key", "off"] = "key"
    cors_origins: Annotated[tuple[str, ...], _HIDDEN] = ()
    docs: Literal["on", "off"] | None = None
    hsts_seconds: int = Field(default=0, ge=0, le=63_072_000)

    max_header_bytes: int = Field(default=32_768, ge=1_024, le=1_048_576)
    max_headers: int = Field(default=100, ge=10, le=10_000)
    header_timeout_seconds: int = Field(default=10, ge=1, le=3_600)
    max_body_bytes: int = Field(default=16_384, ge=0, le=104_857_600)
    body_timeout_seconds: int = Field(default=10, ge=1, le=3_600)
    send_timeout_seconds: int = Field(default=30, ge=1, le=3_600)
    max_connections: Literal["auto"] | Annotated[int, Field(ge=1, le=1_000_000)] = "auto"
    max_streams: int = Field(default=1_000, ge=0, le=1_000_000)
    max_connections_per_client: int = Field(default=64, ge=1, le=1_000_000)
    heavy_reads: int = Field(default=1, ge=1, le=64)
    heavy_reads_per_client: int = Field(default=1, ge=1, le=64)
    rate_limit: Rate | Literal["off"] = Rate(600, 60)
    rate_limit_collect: Rate | Literal["off"] = Rate(6, 60)

    access_log: Literal["on", "off"] = "on"
    log_level: Level = "INFO"
    log_format: Format = "auto"

    def secrets(self) -> Iterator[str]:
        """What no log, output or reply may show: what the hidden settings hold."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                yield from secrets_in(value.get_secret_value())

    @property
    def has_docs(self) -> bool:
        """Whether /docs and the OpenAPI document are served."""
        return self.docs == "on" or (self.docs is None and self.env == "dev")

    @property
    def collects_without_key(self) -> bool:
        """Whether requests that come from this machine may collect a price without a key."""
        return (
            self.env == "dev"
            and self.collect_access == "key"
            and not self.trusted_proxies
            and all(setting_urls.is_loopback(host) for host in self.host.split(","))
            and not self.has_key_to(COLLECT)
        )

    def has_key_to(self, scope: str) -> bool:
        """Whether a key, expired or not, has this scope."""
        return any(scope in key.scopes for key in self.api_keys)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours take its place
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours take its place
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours take its place
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources, strongest first: arguments, the environment, `.env`.

        A stronger one wins in either form, NAME or NAME_FILE. An ENV in the environment that is the
        shell's own does not win over that of `.env`.
        """
        env_file = EnvFileSource(settings_cls, init_settings().get("env_file"))
        environment = EnvironmentSource(settings_cls, os.environ)
        if env_file.get("ENV") and is_shells_own(environment.get("ENV")):
            environment = EnvironmentSource(settings_cls, os.environ, without=["ENV"])
        return init_settings, environment, env_file

    @field_validator("env", mode="before")
    @classmethod
    def _own(cls, value: Any) -> Any:
        # Not the default: the shell's value may have taken the place of ENV=prod.
        if isinstance(value, str) and is_shells_own(value):
            raise PydanticCustomError(
                "env",
                "is a path, the start-up file of a shell and no setting; write ENV=dev or ENV=prod "
                "into .env, which then counts, or in front of the command",
            )
        return value

    @field_validator("allowed_pairs", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        pairs = setting_values.listed(value, Pair.parse)
        if isinstance(pairs, tuple):
            setting_values.distinct(
                "pair", {pair.symbol: (pair.symbol, pair.legacy) for pair in pairs}
            )
        return pairs

    @field_validator("intervals", mode="before")
    @classmethod
    def _intervals(cls, value: Any) -> Any:
        return setting_values.listed(value, Interval.parse)

    @field_validator("allowed_symbols", mode="before")
    @classmethod
    def _symbols(cls, value: Any) -> Any:
        coins = setting_values.listed(value, Coin.parse)
        if isinstance(coins, tuple) and len({coin.symbol for coin in coins}) < len(coins):
            raise PydanticCustomError("symbols", "names one symbol twice; name each once")
        if isinstance(coins, tuple):
            setting_values.distinct("symbol", {coin.symbol: (coin.symbol,) for coin in coins})
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
    def _database(cls, value: SecretStr) -> SecretStr:
        return SecretStr(setting_urls.database_url(value.get_secret_value()))

    @field_validator("db_read_url")
    @classmethod
    def _replica(cls, value: SecretStr | None) -> SecretStr | None:
        url = setting_urls.replica_url("" if value is None else value.get_secret_value())
        return None if url is None else SecretStr(url)

    @field_validator("cache_url")
    @classmethod
    def _cache(cls, value: SecretStr) -> SecretStr:
        return SecretStr(setting_urls.cache_url(value.get_secret_value()))

    @field_validator("cache_secret")
    @classmethod
    def _cache_secret(cls, value: SecretStr | None) -> SecretStr | None:
        secret = "" if value is None else value.get_secret_value().strip()
        if secret and len(secret) < SHORTEST_SECRET:
            raise PydanticCustomError(
                "cache_secret",
                "is too short; write {least} characters or more, such as those that "
                "openssl rand -hex 32 prints",
                {"least": SHORTEST_SECRET},
            )
        return SecretStr(secret) if secret else None

    @field_validator(*_BASE_URLS)
    @classmethod
    def _base_url(cls, value: SecretStr) -> SecretStr:
        return SecretStr(setting_urls.base_url(value.get_secret_value()))

    @field_validator("coingecko_monthly_calls", mode="before")
    @classmethod
    def _monthly_calls(cls, value: Any) -> Any:
        return setting_values.whole_or(
            value, "off", 1_000_000_000, "which lets each request for a price through"
        )

    @field_validator("host")
    @classmethod
    def _addresses(cls, value: str) -> str:
        return setting_urls.listen_addresses(value)

    @field_validator("workers", mode="before")
    @classmethod
    def _processes(cls, value: Any) -> Any:
        number = setting_values.whole_or(value, "auto", MOST_WORKERS, "which is one for each CPU")
        return min(usable_cpus(), MOST_WORKERS) if number == "auto" else number

    @field_validator("max_connections", mode="before")
    @classmethod
    def _connections(cls, value: Any) -> Any:
        meaning = "which is 80 % of the files that the process may open (ulimit -n), at most 10000"
        return setting_values.whole_or(value, "auto", 1_000_000, meaning)

    @field_validator("rate_limit", "rate_limit_collect", mode="before")
    @classmethod
    def _rates(cls, value: Any) -> Any:
        return setting_edge.rate(value) if isinstance(value, str) else value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return read_keys(value)
        except MmsError as error:
            raise PydanticCustomError("api_keys", "{reason}", {"reason": str(error)}) from None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        return setting_values.listed(value, setting_edge.origin)

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        return setting_values.listed(value, setting_edge.host_name)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _proxies(cls, value: Any) -> Any:
        return setting_values.listed(value, setting_edge.network)

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, value: str) -> str:
        return setting_urls.root_path(value)

    @field_validator("coingecko_api_key")
    @classmethod
    def _api_key(cls, value: SecretStr | None) -> SecretStr | None:
        key = "" if value is None else value.get_secret_value().strip()
        if key and not _KEY.fullmatch(key):  # it is sent as a header
            raise PydanticCustomError(
                "api_key",
                "holds characters that no key has (a space, a quote, a line break?); copy it again "
                "from CoinGecko's dashboard, or remove it to work without a key",
            )
        return SecretStr(key) if key else None

    @model_validator(mode="after")
    def _thresholds_of_configured_symbols(self) -> Self:
        symbols = [coin.symbol for coin in self.allowed_symbols]
        symbols += [pair.base for pair in self.allowed_pairs if pair.base not in symbols]
        for symbol, value in self.anomaly_threshold.by_symbol:
            if symbol not in symbols:
                raise PydanticCustomError(
                    "threshold_symbol",
                    "ANOMALY_THRESHOLD={written} is for a symbol that is neither among "
                    "ALLOWED_SYMBOLS nor in ALLOWED_PAIRS; use one of {allowed}",
                    {"written": f"{symbol}:{value}", "allowed": ", ".join(symbols)},
                )
        return self

    @model_validator(mode="after")
    def _prefix_is_no_address_of_ours(self) -> Self:
        first = self.root_path.strip("/").partition("/")[0]
        pairs = [name for pair in self.allowed_pairs for name in (pair.symbol, pair.legacy)]
        if first in OWN_ADDRESSES or names.cased(first) in pairs:
            raise PydanticCustomError(
                "root_path",
                "ROOT_PATH={written}: /{first} is an address of the API itself, so the two could not "
                "be told apart; choose another first part",
                {"written": self.root_path, "first": first},
            )
        return self

    @model_validator(mode="after")
    def _no_secret_in_the_clear(self) -> Self:
        for name in _BASE_URLS:
            base_url = getattr(self, name).get_secret_value()
            sent = None
            if setting_urls.has_login(base_url):
                sent = "its user and password"
            elif name == "coingecko_api_base_url" and self.coingecko_api_key is not None:
                sent = "COINGECKO_API_KEY"
            if sent and setting_urls.is_overheard(base_url):
                raise PydanticCustomError(
                    "overheard",
                    "{name} is http, and {sent} would cross the network unencrypted: write "
                    "https://, or leave {sent} out (http is for this machine alone: 127.0.0.1)",
                    {"name": name.upper(), "sent": sent},
                )
        return self

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        sqlite = setting_urls.is_sqlite(self.db_url.get_secret_value())
        if self.env == "prod" and sqlite and self.single_node is not True:
            raise PydanticCustomError(
                "single_node",
                "DB_URL is SQLite and ENV is prod: several tasks cannot share one file; "
                "set DB_URL to PostgreSQL, or SINGLE_NODE=true where there is one machine",
            )
        return self

    @model_validator(mode="after")
    def _secret_cache_in_production(self) -> Self:
        shared = self.cache_url.get_secret_value().startswith("memcached://")
        if self.env == "prod" and shared and self.cache_secret is None:
            raise PydanticCustomError(
                "cache_secret",
                "CACHE_SECRET is empty, CACHE_URL is memcached and ENV is prod: whoever reaches the "
                "memcached could change averages; write the same 16 random characters or more for "
                "every process, such as those that openssl rand -hex 32 prints",
            )
        return self

    @model_validator(mode="after")
    def _named_hosts_in_production(self) -> Self:
        if self.env == "prod" and setting_edge.ANY_HOST in self.allowed_hosts:
            raise PydanticCustomError(
                "any_host",
                "ALLOWED_HOSTS=* takes any name and ENV is prod: write the names under which the "
                "API is published",
            )
        return self

    @model_validator(mode="after")
    def _replica_of_this_database(self) -> Self:
        if self.db_read_url is not None:
            problem = setting_urls.replica_problem(
                self.db_url.get_secret_value(), self.db_read_url.get_secret_value()
            )
            if problem:
                raise PydanticCustomError("replica", "{problem}", {"problem": problem})
        return self


def load_settings(env_file: Path | None = ENV_FILE, **overrides: Any) -> Settings:
    """Read the settings: `overrides`, then the environment, then `env_file`, then the defaults.

    Raises ConfigurationError: one line that names the setting, the problem and the fix.
    """
    try:
        return Settings(env_file=env_file, **overrides)
    except ValidationError as error:
        raise ConfigurationError(
            "; ".join(setting_problems.line(item, Settings.model_fields) for item in error.errors())
        ) from None


def usable_cpus() -> int:
    """How many CPUs this process may run on; a share of their time (a CPU quota) is not seen."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
