"""A file is replaced whole, with its owner's choices kept; a diff has no secret."""

from pathlib import Path

import pytest

from aoii.commands import file_changes
from aoii.commands.file_changes import FileChange
from aoii.core.errors import UnavailableError


def change(path: Path, after: str) -> FileChange:
    return FileChange(path, path.read_text() if path.exists() else None, after)


def test_a_link_stays_a_link_and_its_file_is_changed() -> None:
    Path("folder").mkdir()
    Path("folder/real").write_text("A=1\n")
    Path(".env").symlink_to("folder/real")

    copy = file_changes.write(change(Path(".env"), "A=2\n"))

    assert Path(".env").is_symlink()
    assert Path("folder/real").read_text() == "A=2\n"
    assert copy is not None
    assert copy.read_text() == "A=1\n"


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o640), (0o600, 0o600), (0o664, 0o660)])
def test_a_file_that_gets_a_secret_is_closed_to_others(before: int, after: int) -> None:
    path = Path(".env")
    path.write_text("A=1\n")
    path.chmod(before)

    file_changes.write(change(path, "MQTT_PASSWORD=x\n"))

    assert path.stat().st_mode & 0o777 == after


def test_a_file_without_a_secret_keeps_its_mode() -> None:
    path = Path("unit")
    path.write_text("A=1\n")
    path.chmod(0o644)

    file_changes.write(change(path, "A=2\n"))

    assert path.stat().st_mode & 0o777 == 0o644


def test_two_changes_within_a_second_keep_both_former_files() -> None:
    path = Path(".env")
    path.write_text("A=1\n")
    copies = [file_changes.write(change(path, text)) for text in ("A=2\n", "A=3\n")]

    assert [copy.read_text() for copy in copies if copy] == ["A=1\n", "A=2\n"]


def test_what_cannot_be_written_leaves_the_former_file_and_nothing_else() -> None:
    Path("file").write_text("x")

    with pytest.raises(UnavailableError, match="cannot be written"):
        file_changes.write(FileChange(Path("file/.env"), None, "A=1\n"))

    assert [path.name for path in Path().iterdir()] == ["file"]


def test_a_diff_shows_no_secret_of_ours_or_of_another_program() -> None:
    path = Path(".env")
    path.write_text("MQTT_PASSWORD=one\n#WEB_TOKEN=two\nSMTP_PASS=three\nA=1\n")

    shown = "\n".join(file_changes.diff(change(path, "MQTT_PASSWORD=four\n#WEB_TOKEN=two\nSMTP_PASS=five\nA=2\n")))

    assert "\n-A=1\n" in shown
    assert shown.endswith("\n+A=2")
    assert not [word for word in ("one", "two", "three", "four", "five") if word in shown]
    assert shown.count(file_changes.HIDDEN) == 5
