"""`.env` and the environment: every fault at once with its origin and remedy, and no secret anywhere."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aoii import settings
from aoii.settings.faults import SettingsError
from settings.samples import faults, private


def test_a_fault_carries_its_parts() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({"MQTT_PORT": "fast", "WEB_TOKEN": "short"})

    port, token = caught.value.faults
    assert (port.origin, port.name, port.state) == ("environment", "MQTT_PORT", 'is "fast"')
    assert port.remedy == "use a whole number from 1 to 65535, such as 1883"
    assert str(port) == f"{port.problem}; {port.remedy}"
    assert token.state == "is set"


def test_the_environment_wins_over_the_file() -> None:
    Path(".env").write_text("MQTT_PORT=1884\nMQTT_BROKER=file\n")

    values = settings.load({"MQTT_BROKER": "environment"})

    assert (values.mqtt.host, values.mqtt.port) == ("environment", 1884)
    assert {"MQTT_BROKER", "MQTT_PORT"} <= values.given


def test_a_station_file_overrides_the_shared_file_and_the_environment_overrides_both() -> None:
    Path(".env").write_text("MQTT_USERNAME=shared\nMQTT_PORT=1884\nMQTT_BROKER=shared\n")
    Path(".env.server").write_text("MQTT_USERNAME=server\nMQTT_PORT=1885\n")

    server = settings.load({"MQTT_PORT": "1886"}, station="server").mqtt
    gateway = settings.load({}, station="gateway").mqtt

    assert (server.username, server.port, server.host) == ("server", 1886, "shared")
    assert (gateway.username, gateway.port, gateway.host) == ("shared", 1884, "shared")


@pytest.mark.parametrize("station", settings.STATIONS)
def test_the_file_of_a_station_stands_beside_the_file_that_was_named(station: str, tmp_path: Path) -> None:
    shared = tmp_path / "aoii.env"
    shared.write_text("")
    (tmp_path / f"aoii.env.{station}").write_text("PORT=5002\n")

    assert settings.load({}, shared, station).web.port == 5002
    assert settings.load({}, shared).web.port == 5001


def test_a_station_file_may_stand_alone_and_its_faults_name_it() -> None:
    Path(".env.server").write_text("MQTT_PORT=fast\nMQTT_BORKER=x\nwords\n")

    with pytest.raises(SettingsError) as caught:
        settings.load({}, station="server")

    assert [fault.origin for fault in caught.value.faults] == [".env.server"] * 3


def test_a_secret_of_a_station_replaces_the_shared_one_in_either_form() -> None:
    Path(".env").write_text(f"MYSQL_HOST=db\nMYSQL_PASSWORD=shared\nWEB_TOKEN_FILE={private('token', 't' * 16)}\n")
    Path(".env.web").write_text(f"MYSQL_PASSWORD_FILE={private('password', 'own')}\nWEB_TOKEN={'w' * 16}\n")

    web, server = (settings.load({}, station=station) for station in ("web", "server"))

    assert (web.database.password, web.web.token) == ("own", "w" * 16)
    assert (server.database.password, server.web.token) == ("shared", "t" * 16)


def test_an_empty_secret_does_not_replace_the_other_form_of_it() -> None:
    """As from `MYSQL_PASSWORD=${MYSQL_PASSWORD:-}` in a Compose file."""
    Path(".env").write_text(f"MYSQL_HOST=db\nMYSQL_PASSWORD=shared\nWEB_TOKEN_FILE={private('token', 't' * 16)}\n")

    values = settings.load({"MYSQL_PASSWORD_FILE": "", "WEB_TOKEN": ""})

    assert (values.database.password, values.web.token) == ("shared", "t" * 16)


def test_a_path_that_the_system_refuses_is_a_fault_and_no_traceback() -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load({}, Path("x" * 300))  # as a folder does that this user may not enter


def test_a_fault_names_its_source_the_value_and_the_remedy() -> None:
    Path(".env").write_text("MQTT_PORT=fast\n")

    assert faults({}) == ('.env: MQTT_PORT is "fast"; use a whole number from 1 to 65535, such as 1883',)


def test_all_faults_are_reported_together() -> None:
    found = faults({"MQTT_PORT": "0", "BETA_TEMP": "nan", "LOG_FORMAT": "xml", "GATEWAY_ID": "a b", "SERIAL_PORT": ","})

    assert [fault.split()[1] for fault in found] == [
        "MQTT_PORT",
        "GATEWAY_ID",
        "SERIAL_PORT",
        "BETA_TEMP",
        "LOG_FORMAT",
    ]


def test_a_secret_appears_in_no_repr_and_in_no_fault() -> None:
    values = settings.load(
        {"MYSQL_HOST": "db", "MYSQL_PASSWORD": "hunter2", "MQTT_USERNAME": "u", "MQTT_PASSWORD": "hunter2"}
    )

    assert "hunter2" not in repr(values)
    assert not any("hunter2" in fault for fault in faults({"MYSQL_PASSWORD": "hunter2", "MQTT_PASSWORD": "hunter2"}))


def test_a_misspelt_name_in_a_file_is_a_warning_and_another_key_a_note() -> None:
    Path(".env").write_text("MQTT_BORKER=x\nHOME_ASSISTANT=y\nCOMPOSE_PROFILES=z\n")
    Path(".env.server").write_text("EDGE_SERIAL_PORT=x\n")

    values = settings.load({}, station="server")

    assert [str(warning) for warning in values.warnings] == [
        ".env: MQTT_BORKER is not a setting and is ignored; did you mean MQTT_BROKER?",
        ".env.server: EDGE_SERIAL_PORT is not a setting and is ignored; use EDGE_LOG_PORT",
    ]
    assert [note.name for note in values.notes] == ["HOME_ASSISTANT"]


def test_a_misspelt_name_is_told_together_with_the_faults() -> None:
    Path(".env").write_text("SERIAL_PROT=/dev/ttyUSB1\nPORT=web\n")

    wrong, misspelt = faults({})

    assert "PORT is" in wrong
    assert "did you mean SERIAL_PORT?" in misspelt


def test_a_line_that_sets_nothing_is_a_fault_beside_the_others() -> None:
    Path(".env").write_text("# ours\nPORT=5002\njust some words\nBETA_TEMP=hot\n")

    bad, hot = faults({})

    assert bad.startswith(".env: line 3 is not a setting")
    assert "BETA_TEMP" in hot


def test_a_lone_carriage_return_hides_no_setting() -> None:
    Path(".env").write_bytes(b"PORT=5002\n# comment\rMQTT_PORT=1884\nBETA_TEMP=1\rTAU=2\n")

    assert [fault.partition(" has")[0] for fault in faults({})] == [".env: line 2", ".env: line 3"]


def test_a_secret_is_literal_and_what_may_not_be_meant_is_noted_without_it() -> None:
    Path(".env").write_text(
        "MYSQL_HOST=db\nMYSQL_PASSWORD=pa #ss${HOME}\nMQTT_USERNAME=u\nMQTT_PASSWORD='hunter2'\nWEB_NODES=1,roof #2\n"
    )

    values = settings.load({})

    assert (values.database.password, values.mqtt.password) == ("pa #ss${HOME}", "'hunter2'")
    assert values.web.nodes == ("1", "roof #2")
    assert [str(note) for note in values.notes] == [
        ".env: MYSQL_PASSWORD has a # after a blank, which is taken as part of it; "
        "put the comment on a line of its own if it is not",
        ".env: MQTT_PASSWORD is in quotes, which is taken as part of it; remove the quotes if it is not",
        ".env: WEB_NODES has a # after a blank, which is taken as part of it; "
        "put the comment on a line of its own if it is not",
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"/var/lib/aoii"', "is in quotes; remove the quotes: values are literal"),
        ("/var/lib/aoii # ours", "has a # after a blank; put the comment on a line of its own: values are literal"),
        ("${HOME}/aoii", "has a ${; write out what stands for it: values are literal"),
    ],
)
def test_a_path_that_would_be_another_one_is_refused_with_its_line(value: str, said: str) -> None:
    Path(".env").write_text(f"# ours\nAOII_DATA_DIR={value}\n")

    assert faults({}) == (f".env: AOII_DATA_DIR in line 2 {said}",)
    assert settings.load({"AOII_DATA_DIR": value}, Path("/dev/null")).data_dir == Path(value)


def test_a_number_in_quotes_is_one_fault() -> None:
    Path(".env").write_text("MQTT_PORT='1884'\n")

    assert faults({}) == (".env: MQTT_PORT in line 1 is in quotes; remove the quotes: values are literal",)


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


def test_a_secret_in_two_places_is_refused() -> None:
    (fault,) = faults({"MQTT_USERNAME": "u", "MQTT_PASSWORD": "x", "MQTT_PASSWORD_FILE": private("p")})

    assert "keep one of the two" in fault
