"""`aoii health`: the word and the exit code for each state of a station, asked over its real status port."""

from pathlib import Path

import pytest

from aoii.commands import container
from aoii.commands.main import main
from aoii.runtime import status_port
from servers import free_port

WELL = {"a part": True}


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    found = free_port()
    monkeypatch.setenv("SERVER_STATUS_PORT", str(found))
    return found


def first_process(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    """Let process 1 have this command line."""
    file = folder / "cmdline"
    file.write_text("".join(f"{word}\0" for word in words))
    monkeypatch.setattr(container, "FIRST_PROCESS", file)


@pytest.mark.parametrize(
    ("alive", "ready", "code", "said"),
    [
        (WELL, WELL, 0, "server: ready\n"),
        ({"thread": False}, WELL, 1, "server: makes no progress: thread\n"),
        (WELL, {"broker": True, "database": False}, 1, "server: waits for: database\n"),
    ],
)
def test_a_station_is_well_when_it_makes_progress_and_can_do_its_work(
    port: int, alive: dict[str, bool], ready: dict[str, bool], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with status_port.served("server", port, lambda: alive, lambda: ready):
        assert main(["health", "server"]) == code

    assert "".join(capsys.readouterr()) == said


def test_a_station_that_does_not_answer_is_not_well(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "server"]) == 1
    assert capsys.readouterr().err == f"server: does not answer on port {port}: Connection refused\n"


def test_a_station_without_a_status_port_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVER_STATUS_PORT", "0")

    assert main(["health", "server"]) == 1
    assert "status port is turned off" in capsys.readouterr().err


def test_a_container_asks_the_station_that_it_runs_with_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    (tmp_path / "settings").write_text(f"CSV_STATUS_PORT={port}\n")
    first_process(
        monkeypatch, tmp_path, "/sbin/docker-init", "--", "aoii", f"--env-file={tmp_path / 'settings'}", "csv"
    )

    with status_port.served("csv", port, lambda: WELL, lambda: WELL):
        assert main(["health"]) == 0

    assert capsys.readouterr().out == "csv: ready\n"


def test_a_station_is_asked_at_the_port_in_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    (tmp_path / ".env.csv").write_text(f"CSV_STATUS_PORT={port}\n")

    with status_port.served("csv", port, lambda: WELL, lambda: WELL):
        assert main(["health", "csv"]) == 0

    assert capsys.readouterr().out == "csv: ready\n"


def test_elsewhere_the_station_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_process(monkeypatch, tmp_path, "/sbin/init")

    assert main(["health"]) == 2
    assert "aoii health gateway" in capsys.readouterr().err
