"""Settings: everything the older installation had, every fault at once, and no secret anywhere."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aoii import settings
from aoii.core.errors import SettingsError
from aoii.security.tls import Tls

REFERENCE_DEFAULTS = {
    "MYSQL_PORT": "3306",
    "MYSQL_USER": "root",
    "MYSQL_PASSWORD": "",
    "MYSQL_DATABASE": "aoii",
    "MQTT_BROKER": "localhost",
    "MQTT_PORT": "1883",
    "SERIAL_PORT": "/dev/ttyUSB0",
    "PORT": "5001",
    "BETA_TEMP": "0.5",
    "BETA_HUM": "3.0",
    "INSERT_MAX_RETRIES": "5",
    "INSERT_BASE_DELAY": "1.0",
}


def faults(values: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings.load(values, None)
    return caught.value.faults


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_names_and_defaults_of_the_reference_system_hold() -> None:
    assert {name: settings.BY_NAME[name].default for name in REFERENCE_DEFAULTS} == REFERENCE_DEFAULTS


def test_an_unset_host_means_sqlite_in_the_data_folder() -> None:
    values = settings.load({"AOII_DATA_DIR": "/srv/aoii"})

    assert values.database.host is None
    assert values.database.sqlite_path == Path("/srv/aoii/aoii.db")


def test_the_environment_wins_over_the_file() -> None:
    Path(".env").write_text("MQTT_PORT=1884\nMQTT_BROKER=file\n")

    values = settings.load({"MQTT_BROKER": "environment"})

    assert (values.mqtt.host, values.mqtt.port) == ("environment", 1884)
    assert {"MQTT_BROKER", "MQTT_PORT"} <= values.given


def test_a_fault_names_its_source_the_value_and_the_remedy() -> None:
    Path(".env").write_text('MQTT_PORT="fast"\n')

    assert faults({}) == ('.env: MQTT_PORT is "fast"; use a whole number from 1 to 65535, such as 1883',)


def test_all_faults_are_reported_together() -> None:
    found = faults({"MQTT_PORT": "0", "BETA_TEMP": "nan", "LOG_FORMAT": "xml", "GATEWAY_ID": "a b", "SERIAL_PORT": ","})

    assert [fault.split()[1] for fault in found] == [
        "SERIAL_PORT",
        "MQTT_PORT",
        "GATEWAY_ID",
        "BETA_TEMP",
        "LOG_FORMAT",
    ]


@pytest.mark.parametrize("name", ["MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"])
def test_another_mysql_setting_without_the_host_is_a_fault(name: str) -> None:
    (fault,) = faults({name: "3307"})

    assert "set MYSQL_HOST as well" in fault


WRONG = {
    "MYSQL_HOST": "two words",
    "MQTT_BROKER": "",
    "MQTT_PORT": "65536",
    "MQTT_PASSWORD": "without-a-user",
    "MQTT_TLS_CA": "no-such-file.crt",
    "WEB_TOKEN": "short",
    "WEB_TOKEN_FILE": "no-such-file",
    "GATEWAY_ID": "",
    "SERIAL_PORT": "/dev/a,/dev/a",
    "BETA_TEMP": "0",
    "BETA_HUM": "-1",
    "SAMPLE_PERIOD_S": "0",
    "HEARTBEAT_S": "70000",
    "MIRROR_WEIGHTS": "no-such-file.py",
    "OUTBOX_MAX_MB": "0",
    "GATEWAY_STATUS_PORT": "-1",
    "INSERT_MAX_RETRIES": "many",
    "INSERT_BASE_DELAY": "inf",
    "DEAD_LETTER_MAX_MB": "0",
    "SERVER_STATUS_PORT": "http",
    "CSV_STATUS_PORT": "1.5",
    "EDGE_LOG_STATUS_PORT": "99999",
    "PORT": "0",
    "WEB_HOST": "",
    "EDGE_RECORDING": "no-such-file.csv",
    "EDGE_NODES": "0",
    "EDGE_LOSS": "1.1",
    "EDGE_ACK_LOSS": "-0.1",
    "EDGE_LOSS_BURST": "0.5",
    "EDGE_TRACE_LOSS": "no-such-file.csv",
    "EDGE_DUPLICATE": "2",
    "EDGE_REORDER": "nan",
    "EDGE_DELAY_S": "6",
    "EDGE_COLLISIONS": "some",
    "EDGE_NEIGHBOURS": "-1",
    "EDGE_SEED": "-1",
    "EDGE_DURATION_S": "-5",
    "EDGE_STATUS_PORT": "high",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "CLOCK_SPEED": "0",
    "CLOCK_START_UNIX_S": "yesterday",
    "CLOCK_ORIGIN_S": "-1",
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_setting_is_one_fault_with_a_remedy(name: str) -> None:
    (fault,) = faults({name: WRONG[name]})

    what, _, remedy = fault.partition("; ")
    assert name in what
    assert remedy


def test_a_secret_appears_in_no_repr_and_in_no_fault() -> None:
    values = settings.load(
        {"MYSQL_HOST": "db", "MYSQL_PASSWORD": "hunter2", "MQTT_USERNAME": "u", "MQTT_PASSWORD": "hunter2"}
    )

    assert "hunter2" not in repr(values)
    assert not any("hunter2" in fault for fault in faults({"MYSQL_PASSWORD": "hunter2", "MQTT_PASSWORD": "hunter2"}))


def test_a_misspelt_name_in_the_file_is_a_warning() -> None:
    Path(".env").write_text("MQTT_BORKER=x\nHOME_ASSISTANT=y\n")

    (warning,) = settings.load({}).warnings

    assert "did you mean MQTT_BROKER?" in warning


def test_a_misspelt_name_is_told_together_with_the_faults() -> None:
    Path(".env").write_text("SERIAL_PROT=/dev/ttyUSB1\nPORT=web\n")

    wrong, misspelt = faults({})

    assert "PORT is" in wrong
    assert "did you mean SERIAL_PORT?" in misspelt


@pytest.mark.parametrize("line", ["MQTT_PORT", "'torn", "just some words", "=5"])
def test_a_line_that_sets_nothing_is_a_fault_with_its_number(line: str) -> None:
    Path(".env").write_text(f"# ours\nPORT=5002\n{line}\nBETA_TEMP=hot\n")

    torn, hot = faults({})

    assert torn.startswith(".env: line 3 is no setting")
    assert "BETA_TEMP" in hot


def test_the_page_may_be_told_where_stations_and_which_nodes_are() -> None:
    web = settings.load({"WEB_STATIONS": "gateway=10.0.0.5:5011, server=[::1]:5012", "WEB_NODES": "1-3,9,roof/tty"}).web

    assert [(at.station, at.host, at.port) for at in web.stations] == [
        ("gateway", "10.0.0.5", 5011),
        ("server", "::1", 5012),
    ]
    assert web.nodes == ("1", "2", "3", "9", "roof/tty")
    assert "write STATION=HOST:PORT" in faults({"WEB_STATIONS": "printer=10.0.0.5:1"})[0]
    assert "at most 500 nodes" in faults({"WEB_NODES": "1-501"})[0]
    assert "at most 500 nodes" in faults({"WEB_NODES": "1-400,401-600"})[0]
    assert "such as 1-20,33" in faults({"WEB_NODES": "9-1"})[0]


def test_a_log_port_may_be_given_the_name_of_its_node() -> None:
    sources = settings.load({"EDGE_LOG_PORT": "/dev/ttyUSB1=gateway/ttyUSB0, /dev/ttyUSB2"}).server.edge_log_ports

    assert [(source.port, source.node) for source in sources] == [
        ("/dev/ttyUSB1", "gateway/ttyUSB0"),
        ("/dev/ttyUSB2", None),
    ]
    assert "PORT=NODE" in faults({"EDGE_LOG_PORT": "/dev/ttyUSB1="})[0]


def test_a_value_may_name_another_one() -> None:
    Path(".env").write_text("BASE=/srv\nexport AOII_DATA_DIR=${BASE}/aoii\n")

    assert settings.load({}).data_dir == Path("/srv/aoii")


def test_a_file_that_was_asked_for_and_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        settings.load({}, tmp_path / "other.env")


def test_a_file_that_is_not_text_is_a_fault() -> None:
    Path(".env").write_bytes(b"PORT=\xff\xfe\n")

    with pytest.raises(SettingsError, match="UTF-8"):
        settings.load({})


@given(st.dictionaries(st.sampled_from(sorted(settings.BY_NAME)), st.text(max_size=20), max_size=8))
@example({"AOII_DATA_DIR": "~nobody-of-this-name"})
def test_any_text_in_any_setting_gives_settings_or_faults(values: dict[str, str]) -> None:
    try:
        settings.load(values)
    except SettingsError as error:
        assert error.faults  # noqa: PT017 - either outcome is right


# --- secrets and certificates -----------------------------------------------------------------------------------------


def private(name: str, text: str = "x", mode: int = 0o600) -> str:
    Path(name).write_text(text)
    Path(name).chmod(mode)
    return name


def test_passwords_may_come_from_files() -> None:
    values = settings.load(
        {
            "MYSQL_HOST": "db", "MYSQL_PASSWORD_FILE": private("a", "for the database\n"),
            "MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("b", "for the broker\nsecond line\n"),
            "WEB_TOKEN_FILE": private("c", "for-the-web-page\n", 0o640),
        }
    )  # fmt: skip

    assert values.database.password == "for the database"  # noqa: S105
    assert values.mqtt.password == "for the broker"  # noqa: S105
    assert values.web.token == "for-the-web-page"  # noqa: S105
    assert "for the" not in repr(values)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o606])
def test_a_secret_that_others_may_read_or_change_is_refused(mode: int) -> None:
    (fault,) = faults({"MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("p", "secret", mode)})

    assert "chmod 600" in fault


@pytest.mark.parametrize("text", ["", "\n", "  \nx"])
def test_a_file_without_a_secret_is_refused(text: str) -> None:
    (fault,) = faults({"MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("p", text)})

    assert "first line" in fault


def test_a_secret_in_two_places_is_refused() -> None:
    (fault,) = faults({"MQTT_USERNAME": "u", "MQTT_PASSWORD": "x", "MQTT_PASSWORD_FILE": private("p")})

    assert "keep one of the two" in fault


@pytest.mark.parametrize("name", ["MQTT_TLS", "MYSQL_TLS"])
def test_tls_needs_an_authority_and_both_halves_of_a_certificate(name: str) -> None:
    base = {"MYSQL_HOST": "db"}
    ca, cert, key = private("ca", mode=0o644), private("cert", mode=0o644), private("key")

    assert settings.load(base).mqtt.tls is settings.load(base).database.tls is None
    assert "_CA as well" in faults(base | {f"{name}_CERT": cert, f"{name}_KEY": key})[0]
    assert "_KEY as well" in faults(base | {f"{name}_CA": ca, f"{name}_CERT": cert})[0]
    assert "_CERT as well" in faults(base | {f"{name}_CA": ca, f"{name}_KEY": key})[0]
    whole = settings.load(base | {f"{name}_CA": ca, f"{name}_CERT": cert, f"{name}_KEY": key})
    part = whole.mqtt.tls if name == "MQTT_TLS" else whole.database.tls
    assert part == Tls(Path(ca), Path(cert), Path(key), name)
    system = settings.load(base | {f"{name}_CA": "system"})
    assert (system.mqtt.tls or system.database.tls) == Tls(None, None, None, name)
