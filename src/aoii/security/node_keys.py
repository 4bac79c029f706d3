"""The key file: the keys of our own nodes, written by provisioning, read by gateway and simulation.

Each node has a line `node epoch key`. After a rotation the old epoch and key follow the new ones on the same line. The
gateway accepts both keys until the node has used the new one, and then the new one alone. A file that other users may
read is rejected. Keys appear in no error message and no `repr`. Host only.
"""

import logging
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aoii.core.errors import InputError
from aoii.security import private_file

log = logging.getLogger(__name__)

KEY_BYTES = 16
NODE_LIMIT = EPOCH_LIMIT = 0xFFFF  # both are u16 on the radio
SIZE_LIMIT_BYTES = 8 * 1024 * 1024  # a file with every possible node and a comment for each is smaller

LINE = re.compile(r"(\d{1,5})\s+(\d{1,5})\s+([0-9a-fA-F]{32})(?:\s+(\d{1,5})\s+([0-9a-fA-F]{32}))?", re.ASCII)
HEADING = "# node epoch key [old epoch, old key]; keep this file secret"


@dataclass(frozen=True)
class NodeKey:
    """The key that a node was provisioned with.

    Attributes:
        epoch: 0..65535; each key of a node has a higher one than the key before.
        key: 16 bytes.
        previous: The key before the last rotation, until that is finished; None otherwise.
    """

    epoch: int
    key: bytes = field(repr=False)
    previous: "NodeKey | None" = None


def read_key_file(path: Path) -> dict[int, NodeKey]:
    """The keys of all nodes, by node number.

    Raises:
        InputError: The file cannot be read, users other than its owner may read it, or a line is wrong; the message
            names the line and says what to do.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InputError(f"{path}: other users may read it (mode {mode & 0o777:03o})", f"run chmod 600 {path}")
            text = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "give a file that you own") from error
    if len(text) > SIZE_LIMIT_BYTES:
        raise InputError(f"{path}: larger than {SIZE_LIMIT_BYTES} bytes", "give a file with a short line for each node")
    try:
        return _parse(path, text.decode("utf-8-sig"))  # Windows editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text", "write it again, a line `node epoch key` for each node") from error


def write_key_file(path: Path, keys: Mapping[int, NodeKey]) -> None:
    """Replace the file atomically, readable by its owner only; root leaves it to the owner that it had.

    Comments behind `#` stay: on the line of their node, or otherwise above all nodes.

    Raises:
        InputError: The file cannot be written.
    """
    heading, comments = _comments(path)
    lines = heading + [_line(node, keys[node]) + comments.get(node, "") for node in sorted(keys)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        private_file.replace(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})", "check the folder's permissions") from error


def add(keys: Mapping[int, NodeKey], node: int, epoch: int = 1) -> dict[int, NodeKey]:
    """A copy of `keys` with a new key for a new node.

    Raises:
        InputError: The node has a key already, or node or epoch is out of range.
    """
    if not (0 <= node <= NODE_LIMIT and 0 <= epoch <= EPOCH_LIMIT):
        raise InputError(f"node {node}, epoch {epoch}: both are 0 to {NODE_LIMIT}", "choose others")
    if node in keys:
        raise InputError(f"node {node} has a key already", f"run `aoii node replace {node}` for a new one")
    return dict(keys) | {node: NodeKey(epoch, secrets.token_bytes(KEY_BYTES))}


def rotate(keys: Mapping[int, NodeKey], node: int) -> dict[int, NodeKey]:
    """A copy of `keys` in which a node has a new key, with the next epoch; its old key is now `previous`.

    Raises:
        InputError: The node has no key, its last rotation is not finished, or there is no next epoch.
    """
    current = _key_of(keys, node)
    if current.previous is not None:
        raise InputError(
            f"node {node} may still use the key from before its last rotation",
            f"provision it with the new one, and then run `aoii node finish-rotation {node}`",
        )
    if current.epoch == EPOCH_LIMIT:
        raise InputError(f"node {node} is at the last epoch, {EPOCH_LIMIT}", "retire it and use another number")
    return dict(keys) | {node: NodeKey(current.epoch + 1, secrets.token_bytes(KEY_BYTES), current)}


def finish_rotation(keys: Mapping[int, NodeKey], node: int) -> dict[int, NodeKey]:
    """A copy of `keys` without the previous key of a node.

    Raises:
        InputError: The node has no key, or no previous one.
    """
    current = _key_of(keys, node)
    if current.previous is None:
        raise InputError(f"node {node} has no old key", "its rotation is finished already")
    return dict(keys) | {node: replace(current, previous=None)}


def retire(keys: Mapping[int, NodeKey], node: int) -> dict[int, NodeKey]:
    """A copy of `keys` without those of one node.

    Raises:
        InputError: The node has no key.
    """
    _key_of(keys, node)
    return {number: key for number, key in keys.items() if number != node}


def _key_of(keys: Mapping[int, NodeKey], node: int) -> NodeKey:
    if node not in keys:
        raise InputError(f"node {node} has no key", "run `aoii node list` to see the nodes that have one")
    return keys[node]


class KeyRing:
    """The keys in the file, which is read again when it changes; while a new file is not usable, the old keys stay.

    Args:
        path: The file; while it does not exist no node has a key.

    Attributes:
        is_usable: Whether the file is usable as it is now; if not, the keys are older than it.

    Raises:
        InputError: The file exists and is not usable.
    """

    def __init__(self, path: Path) -> None:
        self.is_usable = True
        self._path = path
        self._version = self._file_version()
        self._keys = read_key_file(path) if self._version is not None else {}

    def get(self, node: int) -> NodeKey | None:
        """The key of a node; None for an unknown node."""
        self._read_if_changed()
        return self._keys.get(node)

    def nodes(self) -> list[int]:
        """The nodes that have a key."""
        self._read_if_changed()
        return list(self._keys)

    def _read_if_changed(self) -> None:
        version = self._file_version()
        if version != self._version:
            try:
                self._keys = read_key_file(self._path) if version is not None else {}
                self.is_usable = True
                log.info("node keys read again", extra={"event": "keys_read", "nodes": len(self._keys)})
            except InputError as error:
                self.is_usable = False
                log.error("new node keys not usable, old ones stay", extra={"event": "keys_bad", "reason": str(error)})  # noqa: TRY400 - the message says it all
            # Set last: a thread that comes meanwhile reads the file too, and does not use the old keys.
            self._version = version

    def _file_version(self) -> tuple[int, int, int] | None:
        """Values that change when the file or who may read it does; None when it does not exist."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _parse(path: Path, text: str) -> dict[int, NodeKey]:
    """The keys in the text of a file; `path` is for messages.

    Raises:
        InputError: A line is wrong.
    """
    keys: dict[int, NodeKey] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        where = f"{path}:{number}"
        match = LINE.fullmatch(content)
        if match is None:
            raise InputError(
                f"{where}: not `node epoch key`", "write node and epoch as whole numbers and the key as 32 hex digits"
            )
        node, epoch, old = int(match[1]), int(match[2]), int(match[4] or 0)
        if node > NODE_LIMIT or max(epoch, old) > EPOCH_LIMIT:
            raise InputError(f"{where}: node and epoch are 0 to {NODE_LIMIT}", "correct this line")
        if node in keys:
            raise InputError(f"{where}: node {node} has another line already", "keep the one with the higher epoch")
        if match[4] and old >= epoch:
            raise InputError(f"{where}: the old epoch is not below the new one", "swap the two keys")
        previous = NodeKey(old, bytes.fromhex(match[5])) if match[4] else None
        keys[node] = NodeKey(epoch, bytes.fromhex(match[3]), previous)
    return keys


def _line(node: int, key: NodeKey) -> str:
    old = f" {key.previous.epoch} {key.previous.key.hex()}" if key.previous else ""
    return f"{node} {key.epoch} {key.key.hex()}{old}"


def _comments(path: Path) -> tuple[list[str], dict[int, str]]:
    """The comments in the file: those for the lines above the nodes, and by node those on the line of a node."""
    heading, comments = [HEADING], {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return heading, {}
    for line in lines:
        content, mark, comment = line.partition("#")
        match = LINE.fullmatch(content.strip())
        if match is not None and mark:
            comments[int(match[1])] = f"  # {comment.strip()}"
        elif not content.strip() and mark and not line.startswith("# node epoch key"):
            heading.append(line.rstrip())
    return heading, comments
