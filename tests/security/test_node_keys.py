"""The key file: what is written is read, and every fault names its line without showing a key."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.security import node_keys
from aoii.security.node_keys import KeyRing, NodeKey

DIGITS = "00112233445566778899aabbccddeeff"


def key_file(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    file = path / "node_keys"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return file


def test_what_was_written_is_read_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    keys = {7: NodeKey(1, bytes(range(16))), 65535: NodeKey(65535, b"\xff" * 16), 0: NodeKey(0, bytes(16))}
    file = tmp_path / "new" / "node_keys"

    node_keys.write_key_file(file, keys)

    assert node_keys.read_key_file(file) == keys
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_comments_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    file = key_file(tmp_path, f"# all nodes\n\n  7 2 {DIGITS}  # in the cellar\n")

    keys = node_keys.read_key_file(file)

    assert keys == {7: NodeKey(2, bytes.fromhex(DIGITS))}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = key_file(tmp_path, f"7 1 {DIGITS}\n", mode)

    with pytest.raises(InputError, match="chmod 600"):
        node_keys.read_key_file(file)


@pytest.mark.parametrize(
    "line",
    [f"7 {DIGITS}", f"x 1 {DIGITS}", f"7 1 {DIGITS}00", f"70000 1 {DIGITS}", f"7 70000 {DIGITS}", f"-7 1 {DIGITS}"],
)
def test_a_wrong_line_is_named_and_its_key_is_not_shown(tmp_path: Path, line: str) -> None:
    file = key_file(tmp_path, f"# first\n{line}\n")

    with pytest.raises(InputError, match=rf"^{re.escape(str(file))}:2: ") as caught:
        node_keys.read_key_file(file)

    assert DIGITS[:8] not in str(caught.value)


def test_a_node_with_two_lines_is_refused(tmp_path: Path) -> None:
    file = key_file(tmp_path, f"7 1 {DIGITS}\n7 2 {DIGITS}\n")

    with pytest.raises(InputError, match=":2: node 7 has another line already"):
        node_keys.read_key_file(file)


def test_a_missing_file_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: cannot be read"):
        node_keys.read_key_file(tmp_path / "absent")


def test_a_key_is_not_shown_by_repr() -> None:
    assert DIGITS not in repr(NodeKey(1, bytes.fromhex(DIGITS)))
    assert "\\x11" not in repr(NodeKey(1, bytes.fromhex(DIGITS)))


def test_a_ring_reads_the_file_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "node_keys"
    ring = KeyRing(file)
    assert ring.get(7) is None

    node_keys.write_key_file(file, {7: NodeKey(1, bytes(16))})
    first = ring.get(7)
    node_keys.write_key_file(file, {7: NodeKey(2, bytes(16)), 8: NodeKey(1, bytes(16))})

    assert first == NodeKey(1, bytes(16))
    assert ring.get(7) == NodeKey(2, bytes(16))
    assert ring.get(9) is None
    file.unlink()
    assert ring.get(7) is None


def test_a_ring_keeps_the_old_keys_when_the_file_turns_bad_and_takes_the_next_good_one(tmp_path: Path) -> None:
    file = tmp_path / "node_keys"
    node_keys.write_key_file(file, {7: NodeKey(1, bytes(16))})
    ring = KeyRing(file)

    file.write_text("7 two\n")
    kept = ring.get(7)
    file.chmod(0o644)

    assert kept == ring.get(7) == NodeKey(1, bytes(16))
    node_keys.write_key_file(file, {7: NodeKey(3, bytes(16))})
    assert ring.get(7) == NodeKey(3, bytes(16))


def test_a_ring_does_not_begin_with_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        KeyRing(key_file(tmp_path, "7 two\n"))


@given(st.binary(max_size=200))
def test_any_bytes_are_keys_or_one_input_error(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    file = key_file(tmp_path_factory.getbasetemp(), text)

    try:
        keys = node_keys.read_key_file(file)
    except InputError:
        return

    assert all(len(key.key) == node_keys.KEY_BYTES for key in keys.values())


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_a_rotated_node_has_a_new_key_and_epoch_and_its_old_ones_beside_them(tmp_path: Path) -> None:
    before = {7: NodeKey(1, bytes(16)), 8: NodeKey(4, bytes(16))}

    after = node_keys.rotate(before, 7)
    node_keys.write_key_file(tmp_path / "keys", after)

    assert (after[7].epoch, after[7].previous) == (2, before[7])
    assert after[7].key != before[7].key
    assert after[8] == before[8]
    assert node_keys.read_key_file(tmp_path / "keys") == after


def test_a_node_is_not_rotated_twice_before_the_first_rotation_is_finished() -> None:
    once = node_keys.rotate({7: NodeKey(1, bytes(16))}, 7)

    with pytest.raises(InputError, match="aoii node finish-rotation 7"):
        node_keys.rotate(once, 7)

    assert node_keys.rotate(node_keys.finish_rotation(once, 7), 7)[7].epoch == 3


def test_a_node_at_the_last_epoch_is_not_rotated() -> None:
    with pytest.raises(InputError, match="retire it"):
        node_keys.rotate({7: NodeKey(65535, bytes(16))}, 7)


def test_a_new_node_gets_a_key_of_its_own_and_an_old_one_keeps_its() -> None:
    keys = node_keys.add(node_keys.add({}, 7), 8, epoch=5)

    assert (keys[7].epoch, keys[8].epoch) == (1, 5)
    assert len({keys[7].key, keys[8].key, bytes(16)}) == 3
    with pytest.raises(InputError, match="aoii node replace 7"):
        node_keys.add(keys, 7)


@pytest.mark.parametrize(("node", "epoch"), [(-1, 1), (65536, 1), (7, -1), (7, 65536)])
def test_a_node_out_of_range_gets_no_key(node: int, epoch: int) -> None:
    with pytest.raises(InputError, match="0 to 65535"):
        node_keys.add({}, node, epoch)


def test_a_retired_node_has_no_key_and_an_unknown_node_cannot_be_changed() -> None:
    keys = {7: NodeKey(1, bytes(16)), 8: NodeKey(1, bytes(16))}

    assert node_keys.retire(keys, 7) == {8: keys[8]}
    for change in (node_keys.retire, node_keys.rotate, node_keys.finish_rotation):
        with pytest.raises(InputError, match="node 9 has no key"):
            change(keys, 9)
    with pytest.raises(InputError, match="no old key"):
        node_keys.finish_rotation(keys, 7)


def test_an_old_epoch_that_is_not_below_the_new_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="swap the two keys"):
        node_keys.read_key_file(key_file(tmp_path, f"7 2 {DIGITS} 2 {DIGITS}\n"))


def test_an_old_key_is_not_shown_by_repr() -> None:
    assert "\\x11" not in repr(NodeKey(2, bytes(16), NodeKey(1, bytes.fromhex(DIGITS))))


def test_what_people_wrote_into_the_file_stays(tmp_path: Path) -> None:
    file = key_file(tmp_path, f"# the house in Seoul\n# two rooms\n7 1 {DIGITS}  # in the cellar\n8 1 {DIGITS}\n")

    for _ in range(2):
        node_keys.write_key_file(file, {7: NodeKey(2, bytes(16)), 9: NodeKey(1, bytes(16))})

    lines = file.read_text().splitlines()
    assert lines[1:3] == ["# the house in Seoul", "# two rooms"]
    assert lines[3].endswith("  # in the cellar")
    assert len(lines) == 5


def test_a_byte_order_mark_is_no_part_of_the_first_line_and_its_comment_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"\xef\xbb\xbf# the attic\r\n7 1 " + b"0" * 32 + b"\r\n")
    path.chmod(0o600)

    node_keys.write_key_file(path, node_keys.add(node_keys.read_key_file(path), 8))

    assert node_keys.read_key_file(path).keys() == {7, 8}
    assert "# the attic" in path.read_text().splitlines()
