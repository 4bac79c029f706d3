"""`aoii keys`: changes the key file and never shows a key."""

from pathlib import Path

import pytest

from aoii.commands import main
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey


def test_the_command_leads_a_node_through_its_life_and_never_shows_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NODE_KEYS_FILE", str(tmp_path / "keys"))
    seen: list[NodeKey] = []
    said = ""
    for words in ("add 7", "rotate 7", "list", "finish-rotation 7", "retire 7", "add 7 --epoch 3"):
        assert main.main(["keys", *words.split()]) == 0
        said += capsys.readouterr().out
        seen += node_keys.read_key_file(tmp_path / "keys").values()

    assert [key.epoch for key in seen] == [1, 2, 2, 2, 3]
    assert [key.previous is not None for key in seen] == [False, True, True, False, False]
    assert "aoii keys add 7 --epoch 3" in said
    assert "epoch 2   the old key, epoch 1, is accepted" in said
    assert not [key for key in seen if key.key.hex() in said]


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NODE_KEYS_FILE", str(tmp_path / "keys"))

    assert main.main(["keys", "rotate", "7"]) == 2
    assert "node 7 has no key" in capsys.readouterr().err


def test_the_old_name_of_the_command_still_works_and_says_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NODE_KEYS_FILE", str(tmp_path / "keys"))
    for words in ("add 7", "rotate 7"):
        main.main(["keys", *words.split()])
    capsys.readouterr()

    assert main.main(["keys", "settle", "7"]) == 0

    printed = capsys.readouterr()
    assert node_keys.read_key_file(tmp_path / "keys")[7].previous is None
    assert printed.err == "`aoii keys settle` is deprecated; use `aoii keys finish-rotation`\n"


def test_an_old_name_is_not_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["keys", "--help"])

    assert "settle" not in capsys.readouterr().out
