"""`aoii board`, a deprecated name: it does what it did, and says what to use."""

import json
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.security import node_keys


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
