"""`aoii node`: a node's life in the files, what is refused, and that no key is ever shown."""

import json
import os
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest
import segno

from aoii.commands import board_port, doctor_ports, main
from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers import labels_file
from aoii.gateway.node_labels import NodeLabel
from aoii.runtime import metrics, status_port
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from commands.saved_machine import Run
from servers import free_port


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AOII_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GATEWAY_STATUS_PORT", "0")
    return tmp_path / "data"


def keys_in(data: Path) -> dict[int, NodeKey]:
    return node_keys.read_key_file(data / "node_keys")


def labels_in(data: Path) -> dict[str, NodeLabel]:
    return labels_file.read(data / "nodes.json")


def test_a_node_is_led_through_its_life_and_its_key_is_never_shown(data: Path, run: Run) -> None:
    seen: list[NodeKey] = []
    said = ""
    for words in (
        ("add", "--name", "Barn", "--place", "yard"),
        ("replace", "Barn"),
        ("list",),
        ("finish-rotation", "1"),
        ("label", "barn"),
        ("retire", "Barn"),
        ("add", "1", "--again"),
    ):
        code, out, _ = run("node", *words)
        assert code == 0
        said += out
        seen += keys_in(data).values()

    assert [key.epoch for key in seen] == [1, 2, 2, 2, 2, 3]
    assert [key.previous is not None for key in seen] == [False, True, True, False, False, False]
    assert not [key for key in seen if key.key.hex() in said]
    assert "aoii node flash 1" in said
    assert "aoii retire --node 1 --all" in said
    assert labels_in(data) == {"1": NodeLabel()}  # the new node is not the old one


def test_without_a_number_the_next_one_is_given_that_nobody_has_had(data: Path, run: Run) -> None:
    for words in ("add 2", "add", "add", "retire 3", "add"):
        assert run("node", *words.split())[0] == 0

    assert sorted(keys_in(data)) == [1, 2, 4]
    assert labels_in(data)["3"].retired == 1


def test_a_retired_number_is_given_again_only_when_asked_for_and_with_a_higher_epoch(data: Path, run: Run) -> None:
    for words in ("add 7 --epoch 4", "retire 7"):
        run("node", *words.split())

    refused = [run("node", *words.split()) for words in ("add 7", "add 7 --again --epoch 4")]
    assert run("node", "add", "7", "--again")[0] == 0

    assert [code for code, _, _ in refused] == [2, 2]
    assert "--again" in refused[0][2]
    assert "use 5 or more" in refused[1][2]
    assert keys_in(data)[7].epoch == 5


def test_a_retired_node_keeps_its_label_unless_somebody_has_given_it_a_key_by_hand(data: Path, run: Run) -> None:
    for words in ("add 7 --name Barn", "retire Barn"):
        run("node", *words.split())
    code, _, error = run("node", "rename", "7", "--name", "Shed")
    node_keys.write_key_file(data / "node_keys", {7: NodeKey(2, bytes(16))})

    assert (code, "retired" in error) == (2, True)
    assert run("node", "rename", "7", "--name", "Shed")[0] == 0
    assert labels_in(data) == {"7": NodeLabel("Shed")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replace", "9"), "node 9 has no key"),
        (("flash", "Barn2", "--out", "x"), "no node has the name Barn2"),
        (("add", "7"), "aoii node replace 7"),
        (("add", "--name", "Barn"), "node 7 has the name Barn"),
        (("add", "--name", "=cmd()"), "formula"),
        (("rename", "7"), "--name"),
        (("rename", "9", "--name", "Nine"), "node 9 has no key"),
        (("label", "9"), "no node 9"),
        (("add", "--out", "x", "--port", "y"), "one or the other"),
        (("add", "--out", "x", "--board", "toaster"), "heltec-v2"),
        (("add", "--port", "/dev/does-not-exist"), "does not exist"),
        (("add", "--port", "/dev/null"), "/dev/null"),
        (("add", "--firmware", "firmware.bin"), "--port"),
        (("add", "--port", "x", "--firmware", "missing.bin"), "micropython.org"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_changed(
    data: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    run("node", "add", "7", "--name", "Barn")
    Path("firmware.bin").write_bytes(b"\xe9")
    (dev := data.parent / "dev").mkdir()
    (dev / "ttyUSB0").touch()
    monkeypatch.setattr(doctor_ports, "DEVICES", dev)
    before = [path.read_bytes() for path in sorted(data.iterdir())]

    code, _, error = run("node", *words)

    assert code == 2
    assert said in error
    assert [path.read_bytes() for path in sorted(data.iterdir())] == before


def test_a_second_replacement_waits_for_the_first_one_to_be_finished(data: Path, run: Run) -> None:
    for words in (("add",), ("replace", "1")):
        run("node", *words)
    repeated = run("node", "replace", "1")  # the new key is on no board, so it is the one that is meant
    run("node", "flash", "1", "--out", "first")
    waiting = run("node", "replace", "1")
    run("node", "finish-rotation", "1")
    done = run("node", "replace", "1")

    assert [code for code, _, _ in (repeated, waiting, done)] == [0, 2, 0]
    assert "finish-rotation 1" in waiting[2]
    assert keys_in(data)[1].epoch == 3


def test_files_that_were_written_once_are_not_written_for_a_second_board(data: Path, run: Run, tmp_path: Path) -> None:
    assert run("node", "add", "--name", "Barn", "--out", "first", "--display", "--frequency", "868.1")[0] == 0
    refused = run("node", "flash", "Barn", "--out", "second")
    forced = run("node", "flash", "Barn", "--out", "second", "--force")

    config = json.loads((tmp_path / "first" / "aoii.json").read_text())
    assert (config["node"], config["display"], config["air"][0]) == (1, True, 868_100_000)
    assert refused[0] == 2
    assert "aoii node replace 1" in refused[2]
    assert forced[0] == 0
    assert "mpremote connect PORT cp -r second/aoii :" in forced[1]


def test_a_node_with_the_old_firmware_gets_a_name_and_keeps_its_identity(data: Path, run: Run) -> None:
    assert run("node", "rename", "attic/ttyUSB0", "--name", "다락", "--place", "attic")[0] == 0
    assert run("node", "rename", "다락", "--place", "")[0] == 0

    assert labels_in(data) == {"attic/ttyUSB0": NodeLabel("다락")}


def test_the_list_has_columns_and_says_that_the_gateway_does_not_answer(run: Run) -> None:
    run("node", "add", "7", "--name", "온실")
    run("node", "add", "12")

    code, said, _ = run("node", "list")

    lines = said.splitlines()
    assert code == 0
    assert lines[0].split() == ["NODE", "NAME", "PLACE", "EPOCH", "KEY", "STATE", "LAST", "HEARD", "BATTERY"]
    assert lines[1].split()[:2] == ["7", "온실"]
    assert lines[1].index("on no board") + 2 == lines[2].index("on no board")  # Korean letters are twice as wide
    assert "the gateway does not answer" in lines[3]


def test_the_list_has_what_the_running_gateway_has_heard(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("node", "add", "60007", "--name", "온실")
    metrics.NODE_LAST_HEARD_S.labels(node="60007").set(1_760_000_000)
    metrics.NODE_LIVENESS.labels(node="60007", state="late").set(1)
    metrics.NODE_BATTERY_V.labels(node="60007").set(3.8)
    metrics.NODE_LAST_HEARD_S.labels(node="attic/ttyUSB0").set(1_760_000_000)
    try:
        with status_port.served("gateway", port := free_port(), dict, dict):
            monkeypatch.setenv("GATEWAY_STATUS_PORT", str(port))
            code, said, _ = run("node", "list", "--json")
    finally:
        for node in ("60007", "attic/ttyUSB0"):
            for metric in metrics.PER_NODE:
                metric.remove_by_labels({"node": node})

    found = {line["node"]: line for line in json.loads(said)}
    assert code == 0
    assert found["60007"] == {
        "node": "60007", "name": "온실", "place": None, "epoch": 1, "key": "current", "accepts_epoch": None,
        "is_on_board": False, "liveness": "late", "last_heard": "2025-10-09T08:53:20+00:00", "battery_v": 3.8,
    }  # fmt: skip
    assert found["attic/ttyUSB0"]["key"] == "none"


def test_a_label_has_the_name_the_number_and_their_code(run: Run, tmp_path: Path) -> None:
    run("node", "add", "7", "--name", "A&B", "--place", "온실")

    printed = run("node", "label", "7")
    written = run("node", "label", "7", "--svg", "label.svg")

    assert (printed[0], written[0]) == (0, 0)
    assert printed[1].splitlines()[-3:] == ["A&B", "node 7", "온실"]
    assert "█" in printed[1]
    drawn = ElementTree.parse(tmp_path / "label.svg")  # noqa: S314 - we have written it
    texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["A&B", "node 7", "온실"]
    code = segno.make("aoii\nA&B\nnode 7\n온실", micro=False, error="m", encoding="utf-8")
    assert code.svg_inline(border=0) in (tmp_path / "label.svg").read_text()


def test_a_port_is_chosen_by_its_number_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="no serial port"):
        board_port.chosen(None)
    (tmp_path / "serial" / "by-id").mkdir(parents=True)
    for name in ("ttyUSB0", "ttyUSB1"):
        (tmp_path / name).touch()
    (tmp_path / "serial" / "by-id" / "usb-CP2102").symlink_to(tmp_path / "ttyUSB1")
    monkeypatch.setattr(doctor_ports, "DEVICES", tmp_path)

    with pytest.raises(InputError, match="by-id/usb-CP2102"):
        board_port.chosen(None)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    answers = iter(["2", "3"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))

    assert board_port.chosen(None).endswith("by-id/usb-CP2102")
    with pytest.raises(InputError, match="from 1 to 2"):
        board_port.chosen(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_changes_stays_the_gateways_own(data: Path, run: Run) -> None:
    run("node", "add")
    os.chown(data / "node_keys", 1234, 1234)

    run("node", "add")

    found = (data / "node_keys").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 1234, 0o600)


def test_the_old_names_of_the_commands_still_work_and_say_the_new_ones(data: Path, run: Run) -> None:
    run("keys", "add", "7")
    run("keys", "rotate", "7")

    code, _, error = run("keys", "settle", "7")

    assert code == 0
    assert keys_in(data)[7] == NodeKey(2, keys_in(data)[7].key)
    assert error == "`aoii keys settle` is deprecated; use `aoii node finish-rotation`\n"


def test_an_old_name_is_not_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])

    said = capsys.readouterr().out
    assert "    node " in said
    assert "    keys " not in said
    assert "    board " not in said
