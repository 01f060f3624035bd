"""What else decides about a connection to PostgreSQL: the cluster, the environment, role, URL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app.core.errors import ConfigurationError, StoreUnavailable
from app.db import schema
from app.db.database import open_engine
from app.db.postgres import open_reads
from app.db.session import transaction, translated
from app.db.stores.rate_limiter import SharedRateLimiter
from app.db.stores.series import SqlSeriesStore
from app.domain.candles import RawCandle, judged
from tests.support import pgbouncer, postgres
from tests.support.candles import BTC_DAILY, day
from tests.support.commands import Service, run, service
from tests.support.postgres import Postgres

FOREIGN = RawCandle(day(1), "1", "1", "1", "\u65e5 \xe9 \U0001f4c8", "1")
"""A row whose refusal quotes letters that not every encoding has."""


@pytest.fixture(scope="module", params=["SQL_ASCII", "LATIN1"])
def cluster(request: pytest.FixtureRequest, postgres_server: Postgres) -> Iterator[Postgres]:
    """A cluster with another encoding than UTF8."""
    with postgres.running(postgres_server.tools, encoding=request.param) as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, postgres_url: str) -> Iterator[Service]:
    """A service over PostgreSQL, nothing loaded yet."""
    with service(tmp_path, DB_URL=postgres_url) as made:
        yield made


def test_a_cluster_of_any_encoding_is_loaded_backed_up_and_restored(
    cluster: Postgres, tmp_path: Path
) -> None:
    url, other = cluster.create(), cluster.create()
    with service(tmp_path, DB_URL=url) as made:
        assert made.run("commands.migrate").code == 0
        assert made.run("workers.initial_loader").code == 0
        engine = open_engine(url)
        store = SqlSeriesStore(engine)
        with store.begin(BTC_DAILY) as unit:
            unit.quarantine(judged([FOREIGN], BTC_DAILY.interval, 0, day(9), day(9)).refused, 1)
        (quarantined,) = store.quarantined(BTC_DAILY, 0, day(1))
        engine.dispose()
        assert "\\u65e5" in quarantined.reason
        assert made.run("monitoring.gap_monitor").code == 0
        back = run(tmp_path, "commands.backup", "backup", "--json", "b.gz", DB_URL=url)
        put = run(tmp_path, "commands.backup", "restore", "--json", "b.gz", DB_URL=other)
    assert (back.code, put.code) == (0, 0)
    assert back.summary["sha256"] == put.summary["sha256"]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_the_variables_of_libpq_in_the_environment_change_nothing(
    shop: Service, encoding: str
) -> None:
    variables = {
        "PGCLIENTENCODING": encoding,
        "PGTZ": "Europe/Lisbon",
        "PGDATESTYLE": "German",
        "PGOPTIONS": "-c standard_conforming_strings=off -c statement_timeout=50000",
        "PGTARGETSESSIONATTRS": "read-write",
    }
    assert shop.run("workers.initial_loader", **variables).code == 0
    assert shop.run("monitoring.gap_monitor", **variables).code == 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("default_transaction_read_only = on", "default_transaction_read_only"),
        ("search_path = nowhere", "search_path"),
        ("statement_timeout = 1", "SET statement_timeout"),
    ],
)
def test_what_a_role_must_not_have_ends_in_one_line_that_names_it(
    shop: Service, postgres_server: Postgres, setting: str, says: str
) -> None:
    url = shop.settings["DB_URL"]
    postgres_server.sql(f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}")
    ended = shop.run("workers.initial_loader")
    assert ended.code == 2
    assert says in ended.said.splitlines()[-1]
    assert "Traceback" not in ended.said


def test_a_limit_of_idle_transactions_is_named_by_its_own_setting() -> None:
    # Of a real server the client may see no more than that the connection is closed.
    said = psycopg.errors.IdleInTransactionSessionTimeout("terminating connection due to idle")
    advice = "SET idle_in_transaction_session_timeout"
    with pytest.raises(StoreUnavailable, match=advice), translated():
        raise OperationalError("SELECT 1", None, said)


def test_a_roles_isolation_level_does_not_make_writers_fail(
    postgres_url: str, postgres_server: Postgres
) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres_server.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")
    engine = open_engine(postgres_url)
    schema.migrate(engine)
    limiter = SharedRateLimiter(engine, "host", 1_000)

    def work(_number: int) -> None:
        limiter.close_for(0.001)
        limiter.enter(60)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(80)))
    engine.dispose()


def test_what_a_pooler_refuses_at_the_start_of_a_connection_is_named(
    shop: Service, postgres_server: Postgres, pgbouncer_program: Path
) -> None:
    with pgbouncer.running(pgbouncer_program, postgres_server) as front:
        url = front.url(shop.settings["DB_URL"])
        ended = shop.run("commands.migrate", DB_URL=url, PGOPTIONS="-c work_mem=4MB")
    assert ended.code == 2
    assert "PGOPTIONS" in ended.said.splitlines()[-1]


def test_the_statement_mode_of_pgbouncer_is_named(
    shop: Service, postgres_server: Postgres, pgbouncer_program: Path
) -> None:
    with pgbouncer.running(pgbouncer_program, postgres_server, pool_mode="statement") as front:
        ended = shop.run("commands.migrate", DB_URL=front.url(shop.settings["DB_URL"]))
    assert ended.code == 2
    assert "pool_mode" in ended.said.splitlines()[-1]


def test_a_role_without_rights_is_told_what_it_lacks(
    shop: Service, postgres_server: Postgres
) -> None:
    assert shop.run("commands.migrate").code == 0
    postgres_server.sql("CREATE ROLE without_rights LOGIN")
    url = shop.settings["DB_URL"].replace("mms@", "without_rights@")
    ended = shop.run("workers.initial_loader", DB_URL=url)
    postgres_server.sql("DROP ROLE without_rights")
    assert ended.code == 2
    assert "GRANT" in ended.said.splitlines()[-1]


def _shown(engine: Engine, name: str) -> Any:
    with transaction(engine) as connection:
        shown = connection.scalar(text(f"SHOW {name}"))
    engine.dispose()
    return shown


def test_every_option_of_the_url_counts(postgres_url: str) -> None:
    url = f"{postgres_url}?application_name=mine&options=-c%20work_mem%3D5MB&client_encoding=utf8"
    for opened in (open_engine, lambda given: open_reads(given, None)):
        assert _shown(opened(url), "application_name") == "mine"
        assert _shown(opened(url), "work_mem") == "5MB"
    engine = open_reads(f"{postgres_url}?connect_timeout=9&keepalives_idle=77", None)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        given = driver.info.get_parameters()
    engine.dispose()
    assert (given["connect_timeout"], given["keepalives_idle"]) == ("9", "77")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sslmod=require", "sslmod"),
        ("prepare_threshold=5", "prepare_threshold"),
        ("autocommit=true", "autocommit"),
        ("replication=database", "replication"),
        ("client_encoding=latin1", "client_encoding"),
        ("sslmode=require&sslmode=disable", "sslmode"),
    ],
)
def test_an_option_that_cannot_count_is_refused_by_name(query: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DB_URL: {says}") as error:
        open_engine(f"postgresql://mms@127.0.0.1:1/mms?{query}")
    assert "latin1" not in str(error.value)


@pytest.mark.parametrize("name", ["sslmode", "connect_timeout", "keepalives", "gssencmode"])
def test_a_value_that_libpq_refuses_is_not_repeated(name: str) -> None:
    engine = open_engine(f"postgresql://mms@127.0.0.1:1/mms?{name}=canary")
    with pytest.raises(StoreUnavailable, match=name) as error:
        schema.require(engine)
    assert "canary" not in str(error.value)
    assert "Connection refused" not in str(error.value)


@pytest.mark.parametrize("name", ["password", "sslpassword"])
def test_the_rest_of_a_password_is_not_taken_for_the_name_of_an_option(name: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        open_engine(f"postgresql://mms@127.0.0.1:1/mms?{name}=one&two=three")
    assert "two" not in str(error.value)


def test_a_replica_is_not_chosen_by_what_it_says_of_itself() -> None:
    url = "postgresql://mms@127.0.0.1:1/mms"
    with pytest.raises(ConfigurationError, match="DB_READ_URL: target_session_attrs"):
        open_reads(url, f"{url}?target_session_attrs=standby")
