"""`aoii config`: faults with line and remedy, where each value comes from, and old files brought to today's form."""

from pathlib import Path

import pytest

from commands.saved_machine import Run

OLD = "# ours\nMYSQL_PASSWORD=hunter2\nEDGE_SERIAL_PORT=/dev/ttyUSB1\n"


def write(name: str, text: str, mode: int = 0o600) -> Path:
    path = Path(name)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_each_fault_has_its_line_and_its_remedy_and_says_who_reads_it(run: Run) -> None:
    write(".env", "# one\nMQTT_PORT=fast\n\nMQTT_BORKER=x\njunk\n")
    write(".env.web", "WEB_TOKEN=short\n")

    code, out, _ = run("config", "check")

    assert code == 1
    assert 'FAIL  .env:2: MQTT_PORT is "fast"\n      -> use a whole number from 1 to 65535' in out
    assert "FAIL  .env:4: MQTT_BORKER is not a setting and is ignored\n      -> did you mean MQTT_BROKER?" in out
    assert "FAIL  .env:5: is not a setting\n      -> write NAME=value" in out
    assert "FAIL  .env.web:1: WEB_TOKEN is set (read by web)" in out
    assert "short" not in out


def test_a_station_that_is_named_is_checked_alone(run: Run) -> None:
    write(".env.web", "PORT=fast\n")

    assert run("config", "check", "gateway", "server")[0] == 0
    assert run("config", "check", "web")[0] == 1
    assert run("config", "check", "webb")[::2] == (
        2, "aoii config: there is no station webb; use gateway, server, csv, edgelog, web, edge\n",
    )  # fmt: skip


def test_what_is_right_is_said_with_the_files_that_were_read(run: Run) -> None:
    write(".env", "MQTT_PORT=1884\n")
    write(".env.gateway", "GATEWAY_ID=attic\n")

    assert run("config", "check") == (
        0, "ok    the settings of gateway, server, csv, edgelog, web, edge are right: .env, .env.gateway\n", "",
    )  # fmt: skip


def test_a_file_that_no_station_reads_and_a_secret_that_all_may_read_are_faults(run: Run) -> None:
    write(".env", "WEB_TOKEN=0123456789abcdef\n", 0o644)
    write(".env.gatway", "GATEWAY_ID=attic\n")

    code, out, _ = run("config", "check")

    assert code == 1
    assert "no station reads .env.gatway\n      -> did you mean .env.gateway?" in out
    assert "-> run chmod 600 .env\n" in out


def test_each_value_in_force_comes_with_where_it_is_set_and_no_secret_is_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(".env", "MQTT_PORT=1884\nMQTT_USERNAME=all\nMQTT_PASSWORD=hunter2\n")
    write(".env.gateway", "# mine\nMQTT_USERNAME=attic\n")
    monkeypatch.setenv("MQTT_BROKER", "10.0.0.5")

    code, out, _ = run("config", "check", "gateway", "server", "--show")

    common, _, own = out.partition("\nonly gateway:\n")
    assert code == 0
    assert "MQTT_PORT=1884    # .env:1\n" in common
    assert "MQTT_BROKER=10.0.0.5    # environment\n" in common
    assert "PORT=5001    # default\n" in common
    assert "MQTT_PASSWORD=********    # .env:3\n" in common
    assert own.startswith("MQTT_USERNAME=attic    # .env.gateway:2\n\nonly server:\nMQTT_USERNAME=all    # .env:2\n")
    assert "hunter2" not in out


def test_a_migration_is_shown_before_it_is_done_and_no_secret_with_it(run: Run) -> None:
    path = write(".env", OLD)

    code, out, _ = run("config", "migrate", "--dry-run")

    assert code == 0
    assert path.read_text() == OLD
    assert "-EDGE_SERIAL_PORT=/dev/ttyUSB1\n+EDGE_LOG_PORT=/dev/ttyUSB1\n" in out
    assert "+MYSQL_HOST=127.0.0.1\n" in out
    assert "hunter2" not in out


def test_a_migration_keeps_the_former_file_and_its_mode_and_is_done_once(run: Run) -> None:
    path = write(".env", OLD, 0o640)
    write(".env.web", "MYSQL_USER=reader\n")

    first, out, _ = run("config", "migrate")
    again = run("config", "migrate")

    (kept,) = Path().glob(".env.bak-*")
    assert first == 0
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (OLD, 0o600)
    assert str(kept) in out
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_text() == ("# ours\nMYSQL_HOST=127.0.0.1\nMYSQL_PASSWORD=hunter2\nEDGE_LOG_PORT=/dev/ttyUSB1\n")
    assert Path(".env.web").read_text() == "MYSQL_USER=reader\n"  # its host is in the file that all share
    assert again == (0, "# nothing to change\n", "")
    assert run("config", "check")[0] == 0


def test_what_has_to_be_decided_makes_the_exit_code_1(run: Run) -> None:
    write(".env", "EDGE_RECORDING=${HOME}/day.csv\n")

    code, out, _ = run("config", "migrate")

    assert code == 1
    assert "line 1: EDGE_RECORDING has a ${" in out


def test_both_migrations_say_what_the_other_does(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    helps = {}
    for words in (("migrate",), ("config", "migrate")):
        with pytest.raises(SystemExit):
            run(*words, "--help")
        helps[words] = " ".join(capsys.readouterr().out.split())

    assert "`aoii config migrate` brings old files of settings to today's form" in helps["migrate",]
    assert "`aoii migrate` brings the tables of the database up to date" in helps["config", "migrate"]
