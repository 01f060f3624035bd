"""Where settings stand: `.env`, and secrets in files of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from app.core.setting_sources import SECRETS, read_env_file
from app.core.settings import load_settings
from app.workers import incremental_loader

SECRET = "quite-secret"
URL = f"postgresql://mms:{SECRET}@db:5432/mms"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def refused(env_file: Path) -> str:
    """What is said of a file that cannot be used; one line, and no value of the file in it."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(env_file)
    said = str(caught.value)
    assert said.startswith(str(env_file))
    assert "\n" not in said
    assert SECRET not in said
    return said


def test_lines_of_names_and_values_are_read(env_file: Path) -> None:
    env_file.write_text(
        '\ufeff# a comment\n\nexport HOST = ::1 # here\nDB_URL="sqlite:///a b.db"\nAPI=\n'
    )
    assert read_env_file(env_file) == {"HOST": "::1", "DB_URL": "sqlite:///a b.db", "API": ""}
    assert load_settings(env_file).host == "::1"


def test_a_file_that_was_saved_on_windows_reads_as_any_other(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = env_file.with_name("key")
    secret.write_bytes(b"\xef\xbb\xbfCG-key\r\n")
    text = f'\ufeffENV=prod\n\nSINGLE_NODE="true"\nDB_URL=\nPORT=80 # x\nCOINGECKO_API_KEY_FILE={secret}\n'
    env_file.write_bytes(text.replace("\n", "\r\n").encode())
    # As a shell leaves them that has read such a file.
    monkeypatch.setenv("ALLOWED_PAIRS", "BRLBTC,BRLETH\r")
    monkeypatch.setenv("HOST", "\r")
    monkeypatch.setenv("LOG_FORMAT", "json\r")
    monkeypatch.setenv("CACHE_URL", "none://\r\n")
    read = load_settings(env_file)
    assert (read.env, read.single_node, read.port) == ("prod", True, 80)
    assert (read.log_format, read.cache_url.get_secret_value(), read.host) == (
        "json",
        "none://",
        "127.0.0.1",
    )
    assert [pair.symbol for pair in read.allowed_pairs] == ["BTC-BRL", "ETH-BRL"]
    assert read.coingecko_api_key is not None
    assert read.coingecko_api_key.get_secret_value() == "CG-key"


def test_variables_are_expanded_but_not_in_single_quotes(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "around")
    env_file.write_text(
        "HOST=${OUTSIDE}.${ABSENT:-here}\n"
        'DB_URL="postgresql://mms:p@${HOST}/mms"\n'
        "export COINGECKO_API_KEY = '${HOST} \\'$'  # a comment\n"
        "MB_API_BASE_URL=${ABSENT}\n"
    )
    assert read_env_file(env_file) == {
        "HOST": "around.here",
        "DB_URL": "postgresql://mms:p@around.here/mms",
        "COINGECKO_API_KEY": "${HOST} '$",
        "MB_API_BASE_URL": "",
    }


def test_a_password_in_single_quotes_is_taken_as_it_is_written(env_file: Path) -> None:
    env_file.write_text("DB_URL='postgresql://mms:a${b}c@db/mms'\n")
    assert load_settings(env_file).db_url.get_secret_value() == "postgresql://mms:a${b}c@db/mms"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"PORT=8001\n\n\n  DB_URL='postgresql://mms:{SECRET}@db/mms\nHOST=::1\n", 4),
        # The quote closes where the next one opens, and what follows that is too much.
        (f'PORT=8001\nDB_URL="postgresql://mms:{SECRET}@db/mms\nHOST="::1"\n', 2),
        (f"# database\nDB_URL:postgresql://mms:{SECRET}@db/mms\n", 2),
        (f"DB_URL:postgresql://mms:{SECRET}@db/mms?sslmode=require\n", 1),
        ("PORT=8001\nDB_URL\n", 2),
        ("=8001\n", 1),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_never_dropped(
    env_file: Path, text: str, line: int
) -> None:
    env_file.write_text(text)
    said = refused(env_file)
    assert f", line {line}, is not NAME=value" in said
    assert "correct the line" in said


def test_a_name_that_is_almost_a_settings_is_refused(env_file: Path) -> None:
    for wrong, right in (
        *[("CACHE_URI", "CACHE_URL"), ("DB_URI_FILE", "DB_URL_FILE"), ("DB_ULR", "DB_URL")],
        *[("EVN", "ENV"), ("PROT", "PORT"), ("ALLOWD_PAIR", "ALLOWED_PAIRS")],
    ):
        env_file.write_text(f"{wrong}={SECRET}\nOTHER_PROGRAMS=1\n")
        with pytest.raises(
            ConfigurationError, match=f"^{wrong} .* {right} is: rename it"
        ) as caught:
            load_settings(env_file)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        *[("DB_ULR", "DB_URL"), ("db_ulr", "DB_URL"), ("DBURL", "DB_URL"), ("DB_URLS", "DB_URL")],
        *[("DB_URI", "DB_URL"), ("DB_ULR_FILE", "DB_URL_FILE"), ("EVN", "ENV"), ("PROT", "PORT")],
        *[("ALOWED_PAIRS", "ALLOWED_PAIRS"), ("API_KEYS_FLIE", "API_KEYS_FILE")],
        *[("WOKRERS", "WORKERS"), ("READ_ACESS", "READ_ACCESS"), ("CACHE_SECRETS", "CACHE_SECRET")],
    ],
)
def test_a_misspelt_setting_in_the_environment_is_refused_with_both_names(
    wrong: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(wrong, "")
    load_settings(None)
    monkeypatch.setenv(wrong, SECRET)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None)
    assert str(caught.value) == (
        f"{wrong.upper()} in the environment is not a setting; {right} is: rename it or remove it"
    )


def test_a_name_beside_the_setting_itself_is_another_programs(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_URI", "x")
    monkeypatch.setenv("DB_URL_FILE", str(secret))
    assert load_settings(None).db_url.get_secret_value() == URL


ENVIRONMENTS = {
    "a desktop's shell": """BASH_VERSION COLORTERM COLUMNS DBUS_SESSION_BUS_ADDRESS DESKTOP_SESSION
        DISPLAY EDITOR GDMSESSION GPG_AGENT_INFO GTK_MODULES HISTFILE HISTSIZE HOME HOSTNAME HOSTTYPE
        INVOCATION_ID JOURNAL_STREAM LANG LANGUAGE LC_ALL LESSOPEN LINES LOGLEVEL LOGNAME LS_COLORS MAIL
        MANPATH OLDPWD PAGER PATH PS1 PWD PYTHONPATH SESSION_MANAGER SHELL SHLVL SSH_AGENT_PID
        SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY TERM TMPDIR TZ USER USERNAME VIRTUAL_ENV
        WINDOWID XAUTHORITY XDG_CONFIG_DIRS XDG_DATA_DIRS XDG_RUNTIME_DIR XDG_SEAT XDG_SESSION_ID
        XDG_SESSION_TYPE XDG_VTNR _ ZSH_VERSION""",
    "macOS and Windows": """APPDATA APPLE_PUBSUB_SOCKET_RENDER COMMONPROGRAMFILES COMPUTERNAME COMSPEC
        HOMEDRIVE HOMEPATH LOCALAPPDATA LOGONSERVER NUMBER_OF_PROCESSORS OS PATHEXT
        PROCESSOR_ARCHITECTURE PROGRAMDATA PROGRAMFILES PROMPT PSMODULEPATH PUBLIC SYSTEMDRIVE
        SYSTEMROOT TEMP TERM_PROGRAM TMP USERDOMAIN USERPROFILE WINDIR XPC_FLAGS XPC_SERVICE_NAME
        __CF_USER_TEXT_ENCODING""",
    "a runner of GitHub": """ACTIONS_CACHE_URL ACTIONS_RUNTIME_TOKEN ACTIONS_RUNTIME_URL AGENT_TOOLSDIRECTORY
        CI DEBIAN_FRONTEND DOTNET_NOLOGO GITHUB_ACTION GITHUB_ACTIONS GITHUB_ACTOR GITHUB_API_URL
        GITHUB_BASE_REF GITHUB_ENV GITHUB_EVENT_NAME GITHUB_EVENT_PATH GITHUB_GRAPHQL_URL
        GITHUB_HEAD_REF GITHUB_JOB GITHUB_OUTPUT GITHUB_PATH GITHUB_REF GITHUB_REPOSITORY
        GITHUB_RUN_ID GITHUB_SERVER_URL GITHUB_SHA GITHUB_STEP_SUMMARY GITHUB_TOKEN GITHUB_WORKFLOW
        GITHUB_WORKSPACE GOROOT_1_22_X64 ImageOS ImageVersion JAVA_HOME_17_X64 RUNNER_ARCH RUNNER_NAME
        RUNNER_OS RUNNER_TEMP RUNNER_TOOL_CACHE RUNNER_WORKSPACE pythonLocation""",
    "other CI": """BUILD_ID BUILD_NUMBER BUILD_URL CIRCLECI CIRCLE_BRANCH CI_COMMIT_SHA CI_JOB_TOKEN CI_JOB_URL
        CI_PIPELINE_URL CI_PROJECT_DIR CI_REGISTRY GITLAB_CI JENKINS_URL JOB_NAME JOB_URL NODE_NAME
        TRAVIS WORKSPACE""",
    "a task of ECS": """AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_DEFAULT_REGION AWS_EXECUTION_ENV AWS_REGION
        ECS_AGENT_URI ECS_CONTAINER_METADATA_URI ECS_CONTAINER_METADATA_URI_V4 HOSTNAME PGPASSWORD""",
    "Kubernetes and links of containers": """KUBERNETES_PORT KUBERNETES_PORT_443_TCP
        KUBERNETES_PORT_443_TCP_ADDR KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT
        KUBERNETES_SERVICE_PORT_HTTPS MMS_API_PORT MMS_API_SERVICE_HOST CACHE_PORT CACHE_NAME
        CACHE_PORT_11211_TCP CACHE_SERVICE_HOST DB_HOST DB_NAME DB_PASSWORD DB_PORT DB_PORT_5432_TCP
        DB_PORT_5432_TCP_ADDR DB_SERVICE_HOST DB_SERVICE_PORT DB_USER DB_ENV_POSTGRES_USER
        POD_IP POD_NAME POD_NAMESPACE NODE_IP""",
    "platforms, services and other programs": """API_KEY APP_ENV APP_KEY APP_KEYS APP_URL BASE_URL
        DATABASE_URL DATABASE_URI DEBUG DYNO FLASK_ENV FLY_APP_NAME FORWARDED_ALLOW_IPS
        GOOGLE_CLOUD_PROJECT GUNICORN_CMD_ARGS HOSTS HTTPS_PROXY HTTP_PROXY K_REVISION K_SERVICE
        LISTEN_FDS LISTEN_PID MAIL_URL MAINPID NODE_ENV NOTIFY_SOCKET NO_PROXY PGDATA PGHOST
        PGPASSFILE PGPORT PORTS POST PYTHONUNBUFFERED RAILS_ENV REDIS_URL RENDER_SERVICE_NAME
        SECRET_KEY SENTRY_DSN SSL_CERT_DIR SSL_CERT_FILE SUPERVISOR_ENABLED UVICORN_PORT
        WATCHDOG_USEC WEB_CONCURRENCY WORKER""",
}
"""Names of variables in real environments."""


@pytest.mark.parametrize("names", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_no_variable_of_a_usual_environment_is_taken_for_a_misspelling(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names.split():
        monkeypatch.setenv(name, "x")
    load_settings(None)


def test_a_file_that_is_no_utf_8_is_refused_with_the_line(env_file: Path) -> None:
    env_file.write_bytes("PORT=8001\n# preços\nHOST=::1\n".encode("latin-1"))
    said = refused(env_file)
    assert ", line 2, is not UTF-8 text" in said
    assert "save the file as UTF-8" in said


def test_what_is_no_file_or_cannot_be_read_is_refused_and_not_waited_for(env_file: Path) -> None:
    os.mkfifo(env_file)
    assert "is not a regular file" in refused(env_file)
    env_file.unlink()
    env_file.symlink_to("absent")
    assert "is not a regular file" in refused(env_file)
    unreadable = Path("/proc/self/mem")
    if unreadable.exists():  # a file that even root cannot read
        env_file.unlink()
        env_file.symlink_to(unreadable)
        assert "cannot be read" in refused(env_file)


def test_a_command_ends_with_2_and_one_line(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(env_file.parent)
    for content in (b"PORT=\xff\n", b'DB_URL="sqlite:///mine.db\n'):
        env_file.write_bytes(content)
        assert incremental_loader.main([]) == 2
        said = capsys.readouterr().err
        assert said.startswith("incremental_loader: could not start: .env, line 1, is not ")
        assert said.count("\n") == 1
    assert list(env_file.parent.iterdir()) == [env_file]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "db_url"
    file.write_text(f"{URL}\n")
    return file


@pytest.mark.parametrize("name", ["DB_URL_FILE", "db_url_file"])
def test_the_content_of_the_file_is_the_value_without_its_line_end(
    name: str, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(secret))
    assert load_settings(None).db_url.get_secret_value() == URL


def test_both_forms_in_one_place_are_refused(
    secret: Path, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text(f"DB_URL={URL}\nDB_URL_FILE={secret}\n")
    with pytest.raises(ConfigurationError, match="DB_URL and DB_URL_FILE are both set"):
        load_settings(env_file)
    monkeypatch.setenv("DB_URL", "sqlite:///x.db")
    assert load_settings(env_file).db_url.get_secret_value() == "sqlite:///x.db"
    monkeypatch.setenv("DB_URL_FILE", str(secret))
    with pytest.raises(ConfigurationError, match="DB_URL and DB_URL_FILE are both set"):
        load_settings(None)
    assert (
        load_settings(None, db_url="sqlite:///y.db").db_url.get_secret_value() == "sqlite:///y.db"
    )


def test_an_empty_value_means_that_nothing_is_set(
    secret: Path, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text(f"DB_URL_FILE={secret}\nPORT=\n")
    for name in ("DB_URL", "DB_URL_FILE", "PORT"):
        monkeypatch.setenv(name, "")
    assert load_settings(env_file).db_url.get_secret_value() == URL
    assert load_settings(env_file).port == 8000


def test_the_env_file_may_name_files_and_the_environment_is_stronger_in_either_form(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    # ENV_FILE and its like are other programs' variables.
    env_file.write_text(f"DB_URL_FILE={secret}\nENV_FILE=absent\n")
    assert load_settings(env_file).db_url.get_secret_value() == URL
    monkeypatch.setenv("DB_URL", "sqlite:///other.db")
    assert load_settings(env_file).db_url.get_secret_value() == "sqlite:///other.db"
    monkeypatch.delenv("DB_URL")
    env_file.write_text("DB_URL_FILE=never-opened\n")
    monkeypatch.setenv("DB_URL_FILE", str(secret))
    assert load_settings(env_file).db_url.get_secret_value() == URL


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, problem: str
) -> None:
    file = tmp_path / SECRET  # as where the key itself was written there
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("COINGECKO_API_KEY_FILE", str(file))
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None)
    assert str(caught.value).startswith(f"COINGECKO_API_KEY_FILE: the file {problem}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", ["pa${ABSENT}ss", '"pa${ABSENT}ss"'])
def test_a_secret_does_not_lose_what_is_taken_for_a_variable(env_file: Path, value: str) -> None:
    env_file.write_text(f"PORT=8001\nCOINGECKO_API_KEY={value}\n")
    said = refused(env_file)
    assert ", line 2: COINGECKO_API_KEY" in said
    assert "single quotes" in said
    assert "ABSENT" not in said


SHELLS = ["/etc/profile.d/x.sh", "$HOME/.kshrc", "${HOME}/.shinit", "~/.kshrc", ".shrc"]


@pytest.mark.parametrize("shells", SHELLS)
def test_an_env_that_is_the_shells_own_does_not_count_beside_that_of_the_file(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, shells: str
) -> None:
    monkeypatch.setenv("ENV", shells)
    env_file.write_text("ENV=prod\nSINGLE_NODE=true\n")
    assert load_settings(env_file).env == "prod"
    env_file.write_text("ENV=\n")
    with pytest.raises(ConfigurationError, match=r"^ENV=.* is a path, .* shell .*ENV=prod"):
        load_settings(env_file)


def test_an_env_that_is_a_setting_wins_over_the_file(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENV", "dev")
    env_file.write_text("ENV=prod\n")
    assert load_settings(env_file).env == "dev"
