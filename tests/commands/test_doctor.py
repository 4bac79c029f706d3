"""The doctor: each fault is found by name, with what to do about it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import container, doctor, doctor_checks, doctor_installation
from aoii.commands.findings import Finding
from aoii.gateway.drivers import labels_file
from aoii.gateway.node_labels import NodeLabel
from aoii.security import authority, node_keys
from aoii.server.db import open_database
from faults.proxy import Loop, Proxy
from made_up_kernel import MadeUpKernel
from secure_broker import SecureBroker, expired
from servers import MariaDB, Mosquitto, free_port


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor_checks, "BROKER_WAIT_S", 2.0)
    monkeypatch.setattr(doctor_installation, "UNITS", tmp_path / "units")
    MadeUpKernel(tmp_path, monkeypatch)


def examine(**settings: str) -> dict[str, Finding]:
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return {finding.subject: finding for finding in doctor.examine(None)}


def test_a_healthy_installation_has_no_remedies(
    tmp_path: Path, mosquitto: Mosquitto, synced_mariadb: MariaDB, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = os.openpty()
    (tmp_path / "port").symlink_to(os.ttyname(theirs))
    (tmp_path / "data").mkdir()
    node_keys.write_key_file(tmp_path / "data/node_keys", {7: node_keys.NodeKey(1, bytes(16))})
    schema = synced_mariadb.new_schema()
    values = {
        "SERIAL_PORT": str(tmp_path / "port"), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(mosquitto.port),
        "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(synced_mariadb.port), "MYSQL_DATABASE": schema,
    }  # fmt: skip
    open_database(settings.load(values).database, migrate=True).close()

    found = examine(**values)

    assert {subject: finding.remedy for subject, finding in found.items()} == dict.fromkeys(found)
    assert {"settings", "disk", "clock", "serial port", "node keys", "broker", "database",
            "durability", "copies"} == found.keys()  # fmt: skip
    assert doctor.run(None) == 0
    assert "FAIL" not in capsys.readouterr().out
    os.close(ours)
    os.close(theirs)


def test_in_a_container_what_belongs_to_another_one_is_not_checked_and_no_fault(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the Compose file: all share their settings; receiver and passwords are in one container each."""
    (tmp_path / "cmdline").write_text("/sbin/docker-init\0--\0aoii\0csv\0")
    monkeypatch.setattr(container, "FIRST_PROCESS", tmp_path / "cmdline")
    values = {
        "SERIAL_PORT": "/dev/ttyUSB7", "GATEWAY_ID": "roof", "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": str(mosquitto.port), "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(free_port()),
    }  # fmt: skip

    found = examine(**values)

    assert [subject for subject, finding in found.items() if not finding.is_checked] == [
        "serial port", "weights", "database",
    ]  # fmt: skip
    assert found["serial port"].state == "not checked: this is the container of csv; ask in that of gateway or edgelog"
    assert doctor.run(None) == 0
    said = capsys.readouterr().out
    assert "FAIL" not in said
    assert "\n--    serial port  not checked" in said


def test_in_a_container_the_settings_are_those_with_which_its_station_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.env").write_text("MQTT_PORT=fast\n")
    (tmp_path / "cmdline").write_text(f"aoii\0--env-file\0{tmp_path}/settings.env\0csv\0")
    monkeypatch.setattr(container, "FIRST_PROCESS", tmp_path / "cmdline")

    (found,) = [finding for finding in doctor.examine(None) if finding.subject == "settings"]

    assert f'{tmp_path}/settings.env: MQTT_PORT is "fast"' in found.state


def test_in_a_container_nothing_is_said_of_the_users_of_other_stations(
    tmp_path: Path, secure: SecureBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cmdline").write_text("aoii\0gateway\0")
    monkeypatch.setattr(container, "FIRST_PROCESS", tmp_path / "cmdline")
    Path("data").mkdir()
    for name in ("outbox.db", "dead_letters.db"):  # both containers have the folder
        Path("data", name).touch()

    found = reached(secure, "gateway", GATEWAY_ID="gateway")["broker"]

    assert found.state == f"127.0.0.1:{secure.port} answers, encrypted"


def test_every_wrong_setting_is_a_finding() -> None:
    Path(".env").write_text("MQTT_PORT=fast\nBETA_TEMP=hot\n")

    found = list(doctor.examine(None))

    assert [finding.remedy is not None for finding in found] == [True, True]
    assert doctor.run(None) == 1


# --- settings of one station ------------------------------------------------------------------------------------------


def findings(subject: str) -> list[Finding]:
    return [finding for finding in doctor.examine(None) if finding.subject == subject]


def test_each_station_is_checked_with_its_own_settings(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "broker", extra="allow_anonymous false") as refusing,
        Mosquitto(tmp_path / "open") as willing,
    ):
        Path(".env").write_text(f"MQTT_BROKER=127.0.0.1\nMQTT_PORT={willing.port}\n")
        Path(".env.gateway").touch()
        Path(".env.server").write_text(f"MQTT_PORT={refusing.port}\n")

        gateway, server = findings("broker")

    assert gateway == Finding("broker", f"gateway: 127.0.0.1:{willing.port} answers")
    assert server.state == "server: the broker refused the connection: Not authorized"
    assert server.remedy


def test_a_station_that_is_not_of_this_machine_is_not_checked_with_settings_that_are_not_for_it() -> None:
    Path(".env").write_text(f"MQTT_PORT={free_port()}\n")
    Path(".env.gateway").write_text(f"MQTT_PORT={free_port()}\n")

    assert len(findings("broker")) == 1


@pytest.mark.parametrize(
    ("ours", "unchecked"),
    [
        (("gateway",), {"web page", "database"}),
        (("server", "web"), {"serial port", "weights", "node keys", "node names", "copies"}),
    ],
)
def test_what_no_station_of_this_machine_needs_is_no_fault(
    mosquitto: Mosquitto, tmp_path: Path, ours: tuple[str, ...], unchecked: set[str]
) -> None:
    """The shared file is the same on every machine: a gateway's names a database that it need not reach."""
    receiver, theirs = os.openpty()
    Path(".env").write_text(
        f"MQTT_BROKER=127.0.0.1\nMQTT_PORT={mosquitto.port}\n"
        + (f"MYSQL_HOST=127.0.0.1\nMYSQL_PORT={free_port()}\n" if "gateway" in ours else "")
    )
    for station in ours:
        Path(f".env.{station}").touch()
    if "gateway" in ours:
        (tmp_path / "port").symlink_to(os.ttyname(theirs))
        Path(".env.gateway").write_text(f"SERIAL_PORT={tmp_path / 'port'}\n")

    found = list(doctor.examine(None))

    assert [finding for finding in found if finding.remedy] == []
    assert {finding.subject for finding in found if not finding.is_checked} == unchecked
    os.close(receiver)
    os.close(theirs)


def test_a_machine_that_only_reads_the_log_of_nodes_needs_no_receiver(tmp_path: Path) -> None:
    """Nothing but EDGE_LOG_PORT says what runs here; until now /dev/ttyUSB0, the receiver's default, was missing."""
    node, theirs = os.openpty()
    (tmp_path / "log").symlink_to(os.ttyname(theirs))
    Path(".env").write_text(f"MQTT_PORT={free_port()}\nEDGE_LOG_PORT={tmp_path}/log\n")

    found = list(doctor.examine(None))
    ports = [finding for finding in found if finding.subject in ("serial port", "log port")]
    Path(".env").write_text(f"MQTT_PORT={free_port()}\nEDGE_LOG_PORT={tmp_path}/log\nSERIAL_PORT={tmp_path}/radio\n")
    with_receiver = [finding.subject for finding in doctor.examine(None) if "port" in finding.subject]

    assert ports == [Finding("log port", f"{tmp_path}/log is there")]
    assert with_receiver == ["serial port", "log port"]
    os.close(node)
    os.close(theirs)


def test_the_port_of_a_log_is_not_that_of_a_receiver_that_is_not_here(tmp_path: Path) -> None:
    """SERIAL_PORT is /dev/ttyUSB0 by default, and there is no gateway on this machine."""
    Path(".env").write_text(f"MQTT_PORT={free_port()}\nEDGE_LOG_PORT=/dev/ttyUSB0\n")
    alone = [finding for finding in doctor.examine(None) if "are one device" in finding.state]
    Path("data").mkdir()
    Path("data/outbox.db").touch()
    with_gateway = [finding for finding in doctor.examine(None) if "are one device" in finding.state]

    assert alone == []
    assert len(with_gateway) == 1


def test_files_that_this_user_may_not_see_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stations' folder has mode 0700, and the doctor may be run by somebody else; root may look everywhere."""
    stat = os.stat

    def refused(path: str, *args: object, **more: object) -> os.stat_result:
        if str(path).startswith("data/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **more)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(os, "stat", refused)

    keys = examine(MQTT_PORT=str(free_port()))["node keys"]

    assert keys.state == "data/node_keys: Permission denied"
    assert "as the user that runs the stations" in str(keys.remedy)


def test_a_fault_in_the_file_of_one_station_is_named_and_the_others_are_checked() -> None:
    Path(".env").write_text(f"MQTT_PORT={free_port()}\nMYSQL_USER=aoii\n")
    for station in ("server", "edgelog", "web"):
        Path(f".env.{station}").write_text(
            "MYSQL_HOST=127.0.0.1\nBETA_TEMP=hot\n" if station == "web" else "MYSQL_HOST=db\n"
        )

    first, second, *_ = findings("settings")

    assert first.state == '.env: MYSQL_USER is "aoii" (read by gateway, csv, edge)'
    assert second.state == '.env.web: BETA_TEMP is "hot" (read by web)'
    assert findings("disk")


def test_a_file_whose_name_is_nearly_that_of_a_station_is_found() -> None:
    Path(".env").write_text(f"MQTT_PORT={free_port()}\n")
    for name in ("sever", "example", "local"):
        Path(f".env.{name}").touch()

    (found,) = [finding for finding in findings("settings") if finding.remedy]

    assert (found.state, found.remedy) == ("no station reads .env.sever", "did you mean .env.server?")


def test_a_secret_in_the_file_of_a_station_that_others_may_read_is_found() -> None:
    Path(".env").write_text(f"MQTT_PORT={free_port()}\n# MQTT_PASSWORD=x\n")
    Path(".env.server").write_text("MQTT_USERNAME=u\nMQTT_PASSWORD=hunter2\n")
    for name in (".env", ".env.server"):
        Path(name).chmod(0o644)

    assert [finding.remedy for finding in findings("settings") if finding.remedy] == ["run chmod 600 .env.server"]


def test_a_file_that_a_stations_unit_does_not_see_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor sees the files of all stations, a unit only those of its own."""
    monkeypatch.setattr(doctor_installation, "SECRETS", tmp_path)
    for station in ("server", "web"):
        (tmp_path / station).mkdir()
        (tmp_path / station / "password").write_text("secret\n")
        (tmp_path / station / "password").chmod(0o600)
    Path(".env").write_text(
        f"MYSQL_HOST=db\nMYSQL_USER=a\nMYSQL_PASSWORD_FILE={tmp_path}/server/password\nMQTT_PORT={free_port()}\n"
    )
    Path(".env.server").touch()
    Path(".env.edgelog").touch()
    Path(".env.web").write_text(f"MYSQL_PASSWORD_FILE={tmp_path}/web/password\n")

    (found,) = [finding for finding in findings("settings") if finding.remedy]

    assert found.state == (
        f".env: MYSQL_PASSWORD_FILE names {tmp_path}/server/password, which the unit aoii-edgelog does not see"
    )
    assert found.remedy == f"put a copy into {tmp_path}/edgelog, and name that"


def test_a_literal_secret_and_a_key_of_another_program_are_said_and_are_no_fault() -> None:
    Path(".env").write_text(
        f"MQTT_PORT={free_port()}\nMQTT_USERNAME=u\nMQTT_PASSWORD=pa #ss\nHOME_ASSISTANT=1\nGF_X=1\n"
    )
    Path(".env").chmod(0o600)

    found = findings("settings")

    assert [finding.remedy for finding in found] == [None] * 3
    assert "MQTT_PASSWORD has a # after a blank" in found[1].state
    assert "HOME_ASSISTANT is not a setting" in found[2].state


def test_stations_that_log_in_as_the_gateway_are_reported_although_their_files_differ() -> None:
    Path(".env").write_text(f"MQTT_PORT={free_port()}\nMQTT_USERNAME=attic\n")
    Path(".env.gateway").touch()
    alone = [finding.state for finding in findings("broker") if "log in" in finding.state]
    Path(".env.server").write_text("MQTT_PASSWORD=another\n")
    Path(".env.csv").write_text("MQTT_USERNAME=csv\n")
    both = [finding for finding in findings("broker") if "log in" in finding.state]

    assert alone == []
    assert [(one.state.partition(":")[0], one.remedy) for one in both] == [("gateway and server log in as attic", None)]


# --- where rows go ----------------------------------------------------------------------------------------------------


def test_it_says_that_rows_go_to_sqlite_and_why(tmp_path: Path) -> None:
    missing = examine(MQTT_PORT=str(free_port()))["database"]
    open_database(settings.load({}).database, migrate=True).close()
    there = examine(MQTT_PORT=str(free_port()))["database"]

    where = f"SQLite, {tmp_path}/data/aoii.db, because MYSQL_HOST is not set"
    assert missing.state == f"{where}; the server will create it"
    assert there.state == f"{where}: 0 readings"


def test_a_damaged_sqlite_file_is_found_with_its_cure() -> None:
    Path("data").mkdir()
    Path("data/aoii.db").write_bytes(b"not a database\n" * 100)

    assert "move it away" in str(examine(MQTT_PORT=str(free_port()))["database"].remedy)


# --- one fault after the other ----------------------------------------------------------------------------------------


def test_a_missing_serial_port_is_found() -> None:
    assert "plug the receiver in" in str(examine(MQTT_PORT=str(free_port()))["serial port"].remedy)


def test_an_absent_broker_is_found() -> None:
    assert "start the broker" in str(examine(MQTT_PORT=str(free_port()))["broker"].remedy)


def test_a_broker_that_refuses_us_is_found_with_its_reason(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", extra="allow_anonymous false") as server:
        finding = examine(MQTT_BROKER="127.0.0.1", MQTT_PORT=str(server.port))["broker"]

    assert "Not authorized" in finding.state
    assert "MQTT_USERNAME" in str(finding.remedy)


def test_an_absent_database_is_found() -> None:
    finding = examine(MYSQL_HOST="127.0.0.1", MYSQL_PORT=str(free_port()), MQTT_PORT=str(free_port()))["database"]

    assert finding.remedy


@pytest.fixture
def reachable(mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Settings of a database with our tables, for a user who passes no limit; nothing else is checked."""
    monkeypatch.setattr(doctor_checks, "CHECKS", [one for one in doctor_checks.CHECKS if one.subject == "database"])
    schema = mariadb.new_schema()
    user = f"u_{schema}"[:32]
    values = {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(mariadb.port), "MYSQL_DATABASE": schema}
    open_database(settings.load(values).database, migrate=True).close()
    mariadb.execute(f"CREATE USER {user}@'%'", f"GRANT SELECT, INSERT, UPDATE ON {schema}.* TO {user}@'%'")
    yield values | {"MYSQL_USER": user}
    mariadb.execute("SET GLOBAL read_only = 0", f"DROP USER {user}@'%'")


def test_a_read_only_database_is_found(mariadb: MariaDB, reachable: dict[str, str]) -> None:
    mariadb.execute("SET GLOBAL read_only = 1")

    finding = examine(**reachable)["database"]

    assert "read-only" in finding.state
    assert finding.remedy == "make it writable"


def test_a_user_who_may_only_read_is_reported_and_is_no_fault(mariadb: MariaDB, reachable: dict[str, str]) -> None:
    mariadb.execute(f"REVOKE INSERT, UPDATE ON {reachable['MYSQL_DATABASE']}.* FROM {reachable['MYSQL_USER']}@'%'")

    finding = examine(**reachable)["database"]

    assert finding.state.startswith("read-only for this user")
    assert finding.remedy is None


def test_a_slow_database_is_found(mariadb: MariaDB, reachable: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "SLOW_S", 0.1)
    with Loop() as loop:
        link = Proxy(loop, mariadb.port)
        link.delay(0.06)
        finding = examine(**reachable | {"MYSQL_PORT": str(link.port)})["database"]

    assert "busy" in str(finding.remedy)


def test_readable_node_keys_are_found(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("7 1 " + "0" * 32 + "\n")
    (tmp_path / "keys").chmod(0o644)

    assert "chmod 600" in str(examine(NODE_KEYS_FILE=str(tmp_path / "keys"), MQTT_PORT=str(free_port()))["node keys"])


def test_names_of_nodes_are_counted_and_a_file_that_is_wrong_is_found(tmp_path: Path) -> None:
    labels_file.write(tmp_path / "good", {"7": NodeLabel("온실"), "8": NodeLabel("Shed", retired=1)})
    (tmp_path / "bad").write_text('{"v": 1, "nodes": {"7": {"name": "8"}}}')
    good, bad = (
        examine(NODES_FILE=str(tmp_path / name), MQTT_PORT=str(free_port()))["node names"] for name in ("good", "bad")
    )

    assert (good.state, good.remedy) == (f"1 in {tmp_path}/good", None)
    assert "nobody takes" in str(bad.remedy)


def test_node_keys_that_an_update_left_at_their_old_place_are_found(tmp_path: Path) -> None:
    """Until version 0.2 they were in AOII_DATA_DIR; the shipped units have them among the gateway's secrets."""
    node_keys.write_key_file(tmp_path / "data/node_keys", {7: node_keys.NodeKey(1, bytes(16))})

    keys = examine(NODE_KEYS_FILE=str(tmp_path / "keys"), MQTT_PORT=str(free_port()))["node keys"]

    assert keys.remedy == f"move it: mv data/node_keys {tmp_path}/keys"


def test_a_machine_without_a_clock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.commands.doctor_checks.time.time", lambda: 1000.0)

    assert "set the clock" in str(examine(MQTT_PORT=str(free_port()))["clock"].remedy)


@pytest.mark.parametrize("port", ["/dev/no-such-port", "/etc/hostname"])
def test_a_log_port_that_is_no_serial_port_is_found(port: str) -> None:
    assert "EDGE_LOG_PORT" in str(examine(EDGE_LOG_PORT=port, MQTT_PORT=str(free_port()))["log port"].remedy)


def test_wrong_weights_are_found(tmp_path: Path) -> None:
    (tmp_path / "gateway.py").write_text("W1 = 'none'\n")

    assert examine(MIRROR_WEIGHTS=str(tmp_path / "gateway.py"), MQTT_PORT=str(free_port()))["weights"].remedy


def test_a_folder_that_cannot_be_made_is_found() -> None:
    assert "AOII_DATA_DIR" in str(examine(AOII_DATA_DIR="/proc/x", MQTT_PORT=str(free_port()))["disk"].remedy)


def test_a_misspelt_setting_is_found() -> None:
    assert "did you mean MQTT_PORT?" in str(examine(MQTT_PROT="1", MQTT_PORT=str(free_port()))["settings"].remedy)


# --- security ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with SecureBroker(tmp_path_factory.mktemp("secure")) as server:
        yield server


def reached(broker: SecureBroker, user: str, **others: str) -> dict[str, Finding]:
    return examine(
        MQTT_BROKER="127.0.0.1",
        MQTT_PORT=str(broker.port),
        MQTT_TLS_CA=str(broker.certs / "ca.crt"),
        MQTT_TLS_CERT=str(broker.certs / f"{user}.crt"),
        MQTT_TLS_KEY=str(broker.certs / f"{user}.key"),
        **others,
    )


def test_an_encrypted_broker_is_well_and_its_certificates_are_reported(secure: SecureBroker) -> None:
    found = reached(secure, "gateway", GATEWAY_ID="gateway")

    assert found["broker"].remedy is None
    assert found["broker"].state.endswith("answers, encrypted")
    assert found["certificate"].remedy is None
    assert "the broker's" in found["certificate"].state


def test_a_certificate_that_several_stations_use_is_reported_once(secure: SecureBroker) -> None:
    Path(".env").write_text(f"MQTT_PORT={free_port()}\nMQTT_TLS_CA={secure.certs}/ca.crt\n")
    for name in ("gateway", "server"):
        lines = f"MQTT_TLS_CERT={secure.certs}/{name}.crt\nMQTT_TLS_KEY={secure.certs}/{name}.key\n"
        Path(f".env.{name}").write_text(lines)

    states = [finding.state for finding in findings("certificate")]

    assert [Path(state.partition(" ")[0]).name for state in states] == ["ca.crt", "gateway.crt", "server.crt"]


def test_a_gateway_under_another_name_than_its_user_is_reported(secure: SecureBroker) -> None:
    assert "gateway attic does not receive commit" in reached(secure, "gateway", GATEWAY_ID="attic")["broker"].state


def test_an_expired_certificate_is_found(secure: SecureBroker) -> None:
    expired(secure.certs, "old")
    Path(".env").write_text(
        f"MQTT_BROKER=127.0.0.1\nMQTT_PORT={secure.port}\nMQTT_TLS_CA={secure.certs}/ca.crt\n"
        f"MQTT_TLS_CERT={secure.certs}/old.crt\nMQTT_TLS_KEY={secure.certs}/old.key\n"
    )

    found = [finding for finding in doctor.examine(None) if finding.remedy]

    assert any("EXPIRED" in finding.state and "old.crt" in finding.state for finding in found)
    (broker,) = [finding for finding in found if finding.subject == "broker"]
    assert "our certificate has expired" in broker.state
    assert "MQTT_TLS_CERT" in str(broker.remedy)


def test_a_broker_of_an_unknown_authority_is_found(secure: SecureBroker, tmp_path: Path) -> None:
    other = authority.make_authority(tmp_path / "other").certificate

    finding = examine(MQTT_BROKER="127.0.0.1", MQTT_PORT=str(secure.port), MQTT_TLS_CA=str(other))["broker"]

    assert "unknown CA" in finding.state
    assert "MQTT_TLS_CA" in str(finding.remedy)


def test_a_key_that_others_may_read_is_found(secure: SecureBroker) -> None:
    authority.make_client(secure.certs, "loose").key.chmod(0o644)

    assert "chmod 600" in str(reached(secure, "loose")["settings"].remedy)


def test_secrets_that_others_may_read_are_found() -> None:
    Path(".env").touch()
    Path(".env").chmod(0o644)

    finding = examine(MQTT_USERNAME="u", MQTT_PASSWORD="hunter2", MQTT_PORT=str(free_port()))["settings"]  # noqa: S106

    assert "chmod 600 .env" in str(finding.remedy)
    assert "hunter2" not in str(finding)


def test_a_page_for_everybody_without_a_token_is_found() -> None:
    everywhere = "0.0.0.0"  # noqa: S104 - what is to be found
    token = "0123456789abcdef"  # noqa: S105

    assert "WEB_TOKEN" in str(examine(WEB_HOST=everywhere, MQTT_PORT=str(free_port()))["web page"].remedy)
    assert examine(WEB_HOST=everywhere, WEB_TOKEN=token, MQTT_PORT=str(free_port()))["web page"].remedy is None
