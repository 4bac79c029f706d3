"""`aoii board`: its options reach the files, and it says what to type next."""

import json
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.security import node_keys


def test_the_command_says_what_to_type_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys_file, out = tmp_path / "keys", tmp_path / "node-9"
    line = f"board node --node 9 --out {out} --keys {keys_file} --board heltec-v2 --frequency 868.1 --listen"

    assert main.main(line.split()) == 0

    said = capsys.readouterr().out
    config = json.loads((out / "aoii.json").read_text())
    assert f"mpremote connect PORT cp -r {out}/aoii :" in said
    assert node_keys.read_key_file(keys_file)[9].key.hex() not in said
    assert config["air"][0] == 868_100_000
    assert config["listens"] is True
    assert config["pins"]["battery"] == 37


def test_the_key_goes_where_the_gateway_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOII_DATA_DIR", str(tmp_path / "data"))

    assert main.main(["board", "node", "--node", "9", "--out", str(tmp_path / "out")]) == 0
    assert main.main(["board", "node", "--node", "9", "--out", str(tmp_path / "other")]) == 2
    assert main.main(["board", "receiver", "--out", str(tmp_path / "other")]) == 0

    assert list(node_keys.read_key_file(tmp_path / "data" / "node_keys")) == [9]
