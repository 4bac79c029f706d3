"""A demo empties only its own folder, runs alone in it, and says at once what would fail at its end."""

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from aoii import settings
from aoii.commands import demo_run, demo_settings
from aoii.commands.demo_account import Account, Summary
from aoii.core.errors import InputError


def test_the_folder_of_an_earlier_demo_is_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "demo"
    with demo_run._exclusive(folder):
        (folder / "old").touch()

    with demo_run._exclusive(folder):
        assert [path.name for path in folder.iterdir()] == [demo_run.MARKER]


def test_files_that_no_demo_made_stay(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").touch()

    with pytest.raises(InputError) as caught, demo_run._exclusive(tmp_path / "demo"):
        pass

    assert "holds files that no demo made" in caught.value.problem
    assert "AOII_DATA_DIR" in caught.value.remedy
    assert (tmp_path / "demo" / "thesis.txt").exists()


@pytest.mark.parametrize("place", ["a file", "/proc/nowhere", "/dev/null"])
def test_a_place_that_cannot_be_written_is_named_with_the_setting(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()

    with pytest.raises(InputError, match="cannot be written") as caught, demo_run._exclusive(tmp_path / place / "demo"):
        pass

    assert "AOII_DATA_DIR" in caught.value.remedy


def test_a_file_in_place_of_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")

    with pytest.raises(InputError, match="is a file that no demo made"), demo_run._exclusive(tmp_path / "demo"):
        pass

    assert (tmp_path / "demo").read_text() == "mine"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        demo_run._exclusive(tmp_path / "demo"),
        pytest.raises(InputError, match="another demo runs"),
        demo_run._exclusive(tmp_path / "demo"),
    ):
        pass


def test_a_port_that_the_user_has_set_and_that_is_in_use_is_named_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(InputError, match=f"port {port} of the web page is in use"):
            demo_run._with_page_port(settings.load({"PORT": str(port)}, Path(os.devnull)))


def test_a_port_that_nobody_has_set_is_replaced_when_it_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        usual = settings.load({}, Path(os.devnull))
        usual = replace(usual, web=replace(usual.web, port=port))

        found, page = demo_run._with_page_port(usual)

    assert found.web.port != port
    assert page == f"http://127.0.0.1:{found.web.port} (port {port} is in use)"


def test_the_usual_port_is_kept_while_it_is_free_and_an_address_of_ipv6_has_brackets() -> None:
    free = demo_settings.free_port("::1")

    found, page = demo_run._with_page_port(settings.load({"PORT": str(free), "WEB_HOST": "::1"}, Path(os.devnull)))

    assert (found.web.port, page) == (free, f"http://[::1]:{free}")


def test_an_address_that_is_none_of_ours_is_not_called_in_use() -> None:
    with pytest.raises(InputError, match="cannot be used") as caught:
        demo_run._with_page_port(settings.load({"WEB_HOST": "192.0.2.1"}, Path(os.devnull)))

    assert "WEB_HOST" in caught.value.remedy


def test_a_file_that_cannot_be_written_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --json another file"):
        demo_run._check_writable(tmp_path / "missing" / "out.json")


class SlowDatabase:
    """An account, and the clock on which its rows come."""

    def __init__(self, stored_at: Callable[[float], int]) -> None:
        self.now_s = 0.0
        self._stored_at = stored_at

    def summary(self) -> Summary:
        stored = self._stored_at(self.now_s)
        nothing = Summary(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0)
        return replace(nothing, accepted=10, stored=stored, missing=10 - stored)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize(
    ("stored_at", "ended_s"),
    [
        (lambda now_s: 10, 0),
        (lambda now_s: 10 if now_s >= 100 else 0, 100),  # the server was slow to start
        (lambda now_s: min(10, int(now_s / 20)), 200),  # each row took 20 s
        (lambda now_s: 5 if now_s >= 50 else 0, 50 + demo_run.DRAIN_S),  # then no more came
        (lambda now_s: 0, demo_run.FIRST_ROW_S),
    ],
)
def test_the_last_readings_are_awaited_as_long_as_rows_come(
    stored_at: Callable[[float], int], ended_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowDatabase(stored_at)
    monkeypatch.setattr("aoii.commands.demo_run.time.monotonic", lambda: slow.now_s)
    monkeypatch.setattr("aoii.commands.demo_run.time.sleep", slow.sleep)

    demo_run._drain(cast("Account", slow), [])

    assert slow.now_s == pytest.approx(ended_s, abs=2 * demo_run.POLL_S)
