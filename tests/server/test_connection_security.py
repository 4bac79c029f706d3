"""The database over TLS, and the shipped users: what each may do, and what a real MariaDB refuses it."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymysql
import pytest

from aoii.broker.repair_messages import Holding, Report
from aoii.commands import main
from aoii.core.errors import InputError, UnavailableError
from aoii.security import authority
from aoii.security.tls import Tls
from aoii.server import dump, dump_trial
from aoii.server.audits import Audits
from aoii.server.db import DatabaseAway, open_database
from aoii.server.gaps import Gap, Gaps
from aoii.server.gateway_reports import GatewayReports
from aoii.server.retirement import Floors
from aoii.server.rows import EdgeLogRow
from aoii.settings import Database as Settings
from server.samples import a_reading
from servers import AS_ROOT, MariaDB

DEPLOY = Path(__file__).parent.parent.parent / "deploy" / "mariadb"
ADMIN, SERVER, WEB = "aoii_admin", "aoii_server", "aoii_web"
PASSWORDS = {ADMIN: "choose the first", SERVER: "choose the second", WEB: "choose the third"}
DENIED = {1044, 1142, 1143}
LOG_ROW = EdgeLogRow(
    actual_temp=21.5, actual_humidity=40.0, pred_temp=21.0, pred_humidity=41.0, error_temp=0.5, error_humidity=-1.0,
    triggered=True, status="HEARTBEAT", inference_time_us=180, free_heap=90_000, total_heap=120_000,
)  # fmt: skip


class SecureDatabase(MariaDB):
    """Shows a certificate of the authority in `certs`."""

    def __init__(self, folder: Path, *hosts: str, now: datetime | None = None) -> None:
        options = [f"--ssl-{part}={{home}}/{file}" for part, file in (
            ("ca", "ca.crt"), ("cert", "db.crt"), ("key", "db.key")
        )]  # fmt: skip
        super().__init__(folder, options=[*options, "--tls-version=TLSv1.2,TLSv1.3"])
        self.certs = folder / "certs"
        authority.make_authority(self.certs)
        authority.make_server(self.certs, "db", hosts, days=2, now=now)
        for name in ("ca.crt", "db.crt", "db.key"):
            copied = shutil.copy(self.certs / name, self.home / name)
            if AS_ROOT:
                shutil.chown(copied, "mysql")

    def settings(self, user: str, authority: Path | None = None) -> Settings:
        """How a station reaches it."""
        tls = Tls(authority or self.certs / "ca.crt", None, None, "MYSQL_TLS")
        return Settings(Path("unused"), "127.0.0.1", self.port, user, PASSWORDS.get(user, ""), "aoii", tls)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureDatabase]:
    """With the shipped files applied, in their order."""
    with SecureDatabase(tmp_path_factory.mktemp("secure"), "127.0.0.1") as server:
        server.execute(*statements("users.sql"))
        open_database(server.settings(ADMIN), migrate=True).close()
        server.execute(*statements("grants.sql"))
        yield server


def statements(file: str) -> list[str]:
    text = "\n".join(line for line in (DEPLOY / file).read_text().splitlines() if not line.startswith("--"))
    return [statement for statement in text.split(";") if statement.strip()]


def refusal(server: SecureDatabase, user: str, statement: str) -> int:
    """The number of the error with which the database refuses a statement."""
    with (
        pymysql.connect(
            host="127.0.0.1", port=server.port, user=user, password=PASSWORDS[user], database="aoii",
            ssl_ca=str(server.certs / "ca.crt"),
        ) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.Error) as caught,
    ):  # fmt: skip
        cursor.execute(statement)
    return int(caught.value.args[0])


# --- what is allowed --------------------------------------------------------------------------------------------------


def test_the_servers_user_does_all_that_the_server_does(server: SecureDatabase) -> None:
    database = open_database(server.settings(SERVER), migrate=True)  # as it starts

    database.check_writable()
    outcomes = [*database.insert_readings([a_reading(1), a_reading(2)]), database.insert_reading(a_reading(1))]
    database.insert_edge_log([LOG_ROW])
    for state in ("open", "void"):
        Gaps(database.pool).record([Gap("7", 1, 3, 4, state)])
        Gaps(database.pool).clear([("7", 1, 4, 4)])
        Floors(database.pool).raise_floor("8", 1, 3 if state == "open" else 4)
        GatewayReports(database.pool).record("attic", Report("0" * 16, 1, 0, (Holding("7", 1, 1, 4, 0),)))
        audits = Audits(database.pool)
        audits.finish(audits.request(True), {})

    assert outcomes == ["stored", "stored", "duplicate"]
    assert database.stats().total == 2
    assert Gaps(database.pool).all() == [Gap("7", 1, 3, 3, "void")]
    database.close()


def test_the_readers_user_reads(server: SecureDatabase) -> None:
    database = open_database(server.settings(WEB))

    database.ping()
    assert database.nodes() is not None
    assert database.recent_edge_log(10) is not None
    assert Gaps(database.pool).all() is not None
    assert Floors(database.pool).all() is not None
    assert GatewayReports(database.pool).numbers() is not None
    assert GatewayReports(database.pool).files() is not None
    assert Audits(database.pool).next_request() is None
    database.close()


def test_the_connection_is_encrypted_with_tls_1_2_or_newer(server: SecureDatabase) -> None:
    database = open_database(server.settings(WEB))
    with database._pool.engine.connect() as connection:
        version = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Ssl_version'").one()[1]

    assert version in ("TLSv1.2", "TLSv1.3")
    assert database.certificate_expires == authority.describe(server.certs / "db.crt")[0].expires
    database.close()


def test_after_an_update_a_server_that_may_not_change_tables_says_who_has_to(server: SecureDatabase) -> None:
    """Until then its rows wait, and the page's user is told the same."""
    server.execute("UPDATE aoii.alembic_version SET version_num = '0002'")
    server.execute("ALTER TABLE aoii.readings DROP COLUMN created_utc")

    with pytest.raises(DatabaseAway) as caught:
        open_database(server.settings(SERVER), migrate=True)
    with pytest.raises(DatabaseAway) as unread, contextlib.closing(open_database(server.settings(WEB))) as database:
        database.recent(1)

    assert "ALTER command denied" in caught.value.problem
    assert caught.value.remedy == "run `aoii migrate` once as a user who may change tables, such as aoii_admin"
    assert "`aoii migrate`" in unread.value.remedy
    open_database(server.settings(ADMIN), migrate=True).close()
    open_database(server.settings(SERVER), migrate=True).close()


# --- what is refused --------------------------------------------------------------------------------------------------

FORBIDDEN_TO_ALL = [
    "UPDATE edge_log SET actual_temp = 0",
    "DELETE FROM readings",
    "DELETE FROM edge_log",
    "TRUNCATE readings",
    "DROP TABLE readings",
    "ALTER TABLE readings ADD COLUMN x INT",
    "CREATE TABLE x (id INT)",
    "CREATE DATABASE other",
    "UPDATE alembic_version SET version_num = 'x'",
    "SELECT * FROM mysql.global_priv",
    "DELETE FROM floors",
    "DELETE FROM gateway_numbers",
]


@pytest.mark.parametrize("statement", FORBIDDEN_TO_ALL)
@pytest.mark.parametrize("user", [SERVER, WEB])
def test_a_forbidden_statement_is_refused(server: SecureDatabase, user: str, statement: str) -> None:
    assert refusal(server, user, statement) in DENIED


@pytest.mark.parametrize("table", ["readings", "edge_log", "audits"])
def test_a_reader_adds_nothing(server: SecureDatabase, table: str) -> None:
    assert refusal(server, WEB, f"INSERT INTO {table} (id) VALUES (1)") in DENIED  # noqa: S608 - two names above


def test_a_reader_changes_nothing(server: SecureDatabase) -> None:
    assert refusal(server, WEB, "UPDATE readings SET actual_temp = 0") in DENIED


def test_the_admin_is_admin_of_one_schema_only(server: SecureDatabase) -> None:
    assert refusal(server, ADMIN, "CREATE DATABASE other") in DENIED
    assert refusal(server, ADMIN, "SELECT * FROM mysql.global_priv") in DENIED


def test_a_server_started_as_a_reader_says_what_it_lacks(server: SecureDatabase) -> None:
    database = open_database(server.settings(WEB))

    with pytest.raises(DatabaseAway, match="denied") as caught:
        database.insert_reading(a_reading(9))

    assert caught.value.reason == "refused"
    database.close()


def test_no_user_connects_without_encryption(server: SecureDatabase) -> None:
    with pytest.raises(pymysql.OperationalError, match="denied"):
        pymysql.connect(
            host="127.0.0.1", port=server.port, user=WEB, password=PASSWORDS[WEB], database="aoii", ssl_disabled=True
        )


# --- which certificates are rejected ----------------------------------------------------------------------------------


def away(settings: Settings) -> DatabaseAway:
    database = open_database(settings)
    with pytest.raises(DatabaseAway) as caught:
        database.ping()
    database.close()
    return caught.value


def test_a_database_of_an_unknown_authority_is_rejected(server: SecureDatabase, tmp_path: Path) -> None:
    other = authority.make_authority(tmp_path).certificate

    error = away(server.settings(WEB, authority=other))

    assert error.reason == "refused"
    assert "unknown CA; set MYSQL_TLS_CA to its certificate" in str(error)


def test_a_database_without_tls_is_rejected(mariadb: MariaDB, server: SecureDatabase) -> None:
    error = away(replace(server.settings(WEB), port=mariadb.port))

    assert "does not speak TLS" in str(error)


@pytest.mark.parametrize(
    ("hosts", "age_days", "words"),
    [(["elsewhere.example"], 0, "for another name"), (["127.0.0.1"], 5, "has expired; renew it there")],
)
def test_a_database_with_a_wrong_certificate_is_rejected(
    tmp_path: Path, hosts: list[str], age_days: int, words: str
) -> None:
    with SecureDatabase(tmp_path, *hosts, now=datetime.now(UTC) - timedelta(days=age_days)) as server:
        error = away(server.settings("root"))

    assert words in str(error)


def test_a_file_that_is_no_certificate_is_said_at_once(server: SecureDatabase, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nothing")

    with pytest.raises(InputError, match="MYSQL_TLS_CA"):
        open_database(server.settings(WEB, authority=tmp_path / "ca.crt"))


# --- the command ------------------------------------------------------------------------------------------------------


Migrate = Callable[[str], int]


@pytest.fixture
def migrate(server: SecureDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Migrate:
    def migrate(user: str) -> int:
        (tmp_path / "password").write_text(PASSWORDS[user] + "\n")
        (tmp_path / "password").chmod(0o600)
        for name, value in {
            "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(server.port), "MYSQL_USER": user,
            "MYSQL_PASSWORD_FILE": str(tmp_path / "password"), "MYSQL_TLS_CA": str(server.certs / "ca.crt"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        return main.main(["migrate"])

    return migrate


def test_the_command_brings_the_tables_up_to_date(migrate: Migrate, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(ADMIN) == 0
    assert "up to date" in capsys.readouterr().out


def test_the_servers_user_may_make_a_dump_and_only_the_admin_may_put_it_in(
    server: SecureDatabase, tmp_path: Path
) -> None:
    target = tmp_path / "aoii.sql"
    dump.save(server.settings(SERVER), target)

    assert target.stat().st_mode & 0o777 == 0o600
    assert dump_trial.restore_for_trial(server.settings(SERVER), target).why_not == ""
    assert refusal(server, SERVER, "CREATE DATABASE aoii_other") == 1044
    assert refusal(server, SERVER, "DROP DATABASE aoii") == 1044
    with pytest.raises(UnavailableError, match="denied"):
        dump.load(server.settings(SERVER), [target.read_bytes()])
    dump.load(server.settings(ADMIN), [target.read_bytes()])
    dump.save(server.settings(SERVER), tmp_path / "again.sql")  # what the users may do has outlived it


def test_a_dump_is_not_asked_of_a_server_that_another_authority_vouches_for(
    server: SecureDatabase, tmp_path: Path
) -> None:
    authority.make_authority(tmp_path / "other")

    with pytest.raises(UnavailableError, match="certificate"):
        dump.save(server.settings(SERVER, tmp_path / "other" / "ca.crt"), tmp_path / "aoii.sql")
