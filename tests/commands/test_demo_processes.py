"""The stations of a demo: one that ends by itself is an error with the end of its log; all of them are stopped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aoii.commands import demo_processes
from aoii.commands.demo_processes import ProcessGroup
from aoii.commands.demo_settings import Options, free_ports
from aoii.core.errors import UnavailableError
from aoii.settings.channel import ChannelModel


@pytest.fixture
def group(tmp_path: Path) -> ProcessGroup:
    (tmp_path / "logs").mkdir()
    options = Options(None, 120, 1, ChannelModel(), None, 1, True, None, 0, 0)
    return ProcessGroup(options, {}, Path(os.devnull), tmp_path, free_ports(), False, 0.0, 1.0)


def add(group: ProcessGroup, name: str, code: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    group._stations[name] = child
    return child


def test_a_station_that_ends_is_an_error_with_the_end_of_its_log(group: ProcessGroup) -> None:
    (group.folder / "logs" / "server.log").write_text("".join(f"line {number}\n" for number in range(100)))
    add(group, "server", "raise SystemExit(3)").wait()

    with pytest.raises(UnavailableError) as caught:
        group.step()

    assert "station server ended with exit code 3" in str(caught.value)
    assert "line 99" in str(caught.value)
    assert "line 84" not in str(caught.value)


def test_a_gateway_that_ends_while_it_starts_is_an_error(group: ProcessGroup) -> None:
    (group.folder / "logs" / "gateway.log").write_text("no such port\n")
    add(group, "gateway", "").wait()

    with pytest.raises(UnavailableError, match="the gateway did not start:\nno such port"):
        group._await_gateway()


def test_a_station_that_does_not_stop_is_killed_and_named(group: ProcessGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_processes, "STOP_S", 0.2)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    child = add(group, "web", deaf)
    assert child.stdout is not None
    child.stdout.readline()

    group.stop()

    assert child.returncode == -9
    assert group.notes == ["station web did not stop within 0.2 s and was killed"]


def test_progress_is_a_share_of_the_run(group: ProcessGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    group.duration_s = 10.0
    shares = []
    for now_s in (-3.0, 5.0, 99.0):
        monkeypatch.setattr("aoii.commands.demo_processes.time.monotonic", lambda now_s=now_s: now_s)
        shares.append(group.progress())

    assert shares == [0.0, 0.5, 1.0]
