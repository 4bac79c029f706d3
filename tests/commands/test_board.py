"""`aoii board`, a deprecated name: it does what it did, and says what to use."""

import json
from pathlib import Path
from typing import Any

import pytest

from aoii.commands import main
from aoii.edge.drivers.board_radio import Air, air_fault
from aoii.security import node_keys
from aoii.settings.regions import REGIONS


def test_the_command_says_what_to_type_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys_file, out = tmp_path / "keys", tmp_path / "node-9"
    line = f"board node --node 9 --out {out} --keys {keys_file} --board heltec-v2 --frequency 868.1 --listen"

    assert main.main(line.split()) == 0

    said = capsys.readouterr()
    config = json.loads((out / "aoii.json").read_text())
    assert f"mpremote connect PORT cp -r {out}/aoii :" in said.out
    assert "aoii node add --out" in said.err
    assert node_keys.read_key_file(keys_file)[9].key.hex() not in said.out
    assert config["air"][0] == 868_100_000
    assert config["listens"] is True
    assert config["pins"]["battery"] == 37


def test_a_node_that_has_a_key_gets_another_only_by_force_and_then_the_next_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AOII_DATA_DIR", str(tmp_path / "data"))
    keys_file = tmp_path / "data" / "node_keys"

    assert main.main(["board", "node", "--node", "9", "--out", str(tmp_path / "out")]) == 0
    first = node_keys.read_key_file(keys_file)[9]
    assert main.main(["board", "node", "--node", "9", "--out", str(tmp_path / "other")]) == 2
    assert main.main(["board", "receiver", "--out", str(tmp_path / "other")]) == 0
    assert main.main(["board", "node", "--node", "9", "--out", str(tmp_path / "out"), "--force"]) == 0

    second = node_keys.read_key_file(keys_file)[9]
    assert (second.epoch, second.previous) == (2, first)
    assert json.loads((tmp_path / "out" / "aoii.json").read_text())["key"] == second.key.hex()


def made_with(out: Path, *words: str) -> dict[str, Any]:
    assert main.main(["receiver", "flash", "--out", str(out), *words]) == 0
    config: dict[str, Any] = json.loads((out / "aoii.json").read_text())
    return config


def test_the_region_of_the_settings_decides_about_the_radio_and_an_option_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made_with(tmp_path / "before")
    monkeypatch.setenv("RADIO_REGION", "KR920")
    monkeypatch.setenv("RADIO_SPREADING", "10")

    korea = made_with(tmp_path / "korea")
    europe = made_with(tmp_path / "europe", "--region", "EU868", "--power", "7")
    deaf = made_with(tmp_path / "deaf", "--no-listen")

    assert (before["air"][:2], before["air"][6], before["duty_permille"], before["listens"]) == (
        [433_000_000, 9], 14, 10, False,
    )  # fmt: skip
    assert (korea["air"][:2], korea["duty_permille"], korea["listens"]) == ([922_100_000, 10], 1000, True)
    assert (europe["air"][0], europe["air"][6], europe["duty_permille"], europe["listens"]) == (
        868_100_000, 7, 10, False,
    )  # fmt: skip
    assert deaf["listens"] is False


@pytest.mark.parametrize("name", REGIONS)
def test_the_radio_can_do_what_a_region_asks_for(name: str, tmp_path: Path) -> None:
    config = made_with(tmp_path / "out", "--region", name)

    assert air_fault(Air(*config["air"])) == ""
    assert 1 <= config["duty_permille"] <= 1000
