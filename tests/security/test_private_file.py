"""Private files: for their user only from the first byte on, and complete or not there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.security import authority, node_keys, private_file
from aoii.security.node_keys import NodeKey


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The modes with which files were made, as the kernel was asked for them."""
    made: list[int] = []
    real = os.open

    def opened(path: str | Path, flags: int, mode: int = 0o777, *rest: int) -> int:
        if flags & os.O_CREAT:
            made.append(mode)
        return real(path, flags, mode, *rest)

    monkeypatch.setattr(os, "open", opened)
    return made


def test_a_file_is_private_while_it_is_written_and_as_wide_as_asked_when_it_is_complete(
    tmp_path: Path, modes: list[int]
) -> None:
    private_file.write(tmp_path / "key", b"secret")
    private_file.write(tmp_path / "crt", b"for all", 0o644)

    assert modes == [0o600, 0o600]
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("key", "crt")] == [0o600, 0o644]


def test_keys_of_nodes_and_of_an_authority_are_made_in_this_way(
    tmp_path: Path, modes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(private_file, "sync", synced.append)

    node_keys.write_key_file(tmp_path / "node_keys", {7: NodeKey(1, bytes(16))})
    authority.make_authority(tmp_path / "ca")

    assert modes == [0o600] * 3
    assert {tmp_path, tmp_path / "ca"} == set(synced)  # a power cut does not take their names away again


def test_what_exists_is_not_written_over_and_a_file_that_cannot_be_completed_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    private_file.write(key, b"first")
    with pytest.raises(FileExistsError):
        private_file.write(key, b"second")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        private_file.write(tmp_path / "other", b"content")
    with pytest.raises(OSError, match="No space"):
        private_file.replace(key, b"third")

    assert key.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [key]
