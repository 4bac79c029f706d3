"""The key file of our own nodes: one `node epoch key` a line, from provisioning, for gateway and simulation.

After a rotation the old epoch and key stand behind the new ones on the same line: the gateway believes both until it
has heard the node with the new key, and from then on the new one alone. Host only. It refuses a file that others may
read, and it never shows a key: not in an error, not in a `repr`.
"""

import logging
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aoii.core.errors import InputError

log = logging.getLogger(__name__)

KEY_BYTES = 16
NODE_LIMIT = EPOCH_LIMIT = 0xFFFF  # both are u16 on the radio
SIZE_LIMIT_BYTES = 8 * 1024 * 1024  # every node there can be, with a comment each, is smaller

LINE = re.compile(r"(\d{1,5})\s+(\d{1,5})\s+([0-9a-fA-F]{32})(?:\s+(\d{1,5})\s+([0-9a-fA-F]{32}))?", re.ASCII)
HEADING = "# node epoch key [old epoch, old key]; keep this file secret"


@dataclass(frozen=True)
class NodeKey:
    """What a node was provisioned with.

    Attributes:
        epoch: 0..65535; it only ever rises.
        key: 16 bytes.
        previous: What it had before the last rotation, with a lower epoch; None once that is settled.
    """

    epoch: int
    key: bytes = field(repr=False)
    previous: "NodeKey | None" = None


def load(path: Path) -> dict[int, NodeKey]:
    """Read the keys of all nodes, by node number.

    Raises:
        InputError: The file cannot be read, others than its owner may read it, or a line is wrong; the message names
            the line and says what to do.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InputError(f"{path}: others may read these keys (mode {mode & 0o777:03o}); run chmod 600 {path}")
            text = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a file that you own") from error
    if len(text) > SIZE_LIMIT_BYTES:
        raise InputError(f"{path}: larger than {SIZE_LIMIT_BYTES} bytes; a key file has one short line a node")
    try:
        return _parse(path, text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file; write it again with one `node epoch key` a line") from error


def write(path: Path, keys: Mapping[int, NodeKey]) -> None:
    """Replace the file at once, readable by its owner only; a reader sees the old or the new keys, never half of them.

    What somebody wrote behind `#` stays: above the nodes, or on the line of its node.

    Raises:
        InputError: The file cannot be written.
    """
    heading, remarks = _remarks(path)
    lines = heading + [_line(node, keys[node]) + remarks.get(node, "") for node in sorted(keys)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # created with mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); check the folder and its rights") from error


def added(keys: Mapping[int, NodeKey], node: int, epoch: int = 1) -> dict[int, NodeKey]:
    """The keys with a new one for a node that has none.

    Raises:
        InputError: It has one, or node or epoch is out of range.
    """
    if not (0 <= node <= NODE_LIMIT and 0 <= epoch <= EPOCH_LIMIT):
        raise InputError(f"node {node}, epoch {epoch}: both are 0 to {NODE_LIMIT}; choose others")
    if node in keys:
        raise InputError(f"node {node} has a key already; `aoii keys rotate {node}` gives it a new one")
    return dict(keys) | {node: NodeKey(epoch, secrets.token_bytes(KEY_BYTES))}


def rotated(keys: Mapping[int, NodeKey], node: int) -> dict[int, NodeKey]:
    """The keys with a new one, and the next epoch, for a node; the one that it has stays good until it uses the new.

    Raises:
        InputError: It has none, its last rotation is not settled, or there is no next epoch.
    """
    now = _of(keys, node)
    if now.previous is not None:
        raise InputError(
            f"node {node} was rotated before and its old key still stands: the node may have no other; give it the new "
            f"one, and then say `aoii keys finish-rotation {node}`"
        )
    if now.epoch == EPOCH_LIMIT:
        raise InputError(f"node {node} is at the last epoch, {EPOCH_LIMIT}; retire it and give it another number")
    return dict(keys) | {node: NodeKey(now.epoch + 1, secrets.token_bytes(KEY_BYTES), now)}


def settled(keys: Mapping[int, NodeKey], node: int) -> dict[int, NodeKey]:
    """The keys without the old one of a node that was rotated.

    Raises:
        InputError: It has no key, or no old one.
    """
    now = _of(keys, node)
    if now.previous is None:
        raise InputError(f"node {node} has no old key; nothing is to be settled")
    return dict(keys) | {node: replace(now, previous=None)}


def retired(keys: Mapping[int, NodeKey], node: int) -> dict[int, NodeKey]:
    """The keys without those of a node.

    Raises:
        InputError: It has none.
    """
    _of(keys, node)
    return {number: key for number, key in keys.items() if number != node}


def _of(keys: Mapping[int, NodeKey], node: int) -> NodeKey:
    if node not in keys:
        raise InputError(f"node {node} has no key; `aoii keys list` shows those that have one")
    return keys[node]


class KeyRing:
    """The keys as the file has them now: read again whenever it changes, kept as they were when it turns bad.

    Args:
        path: The file; while it does not exist nobody has a key.

    Raises:
        InputError: The file is there and cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = self._look()
        self._keys = load(path) if self._version is not None else {}

    def get(self, node: int) -> NodeKey | None:
        """The node's key, None for a stranger."""
        version = self._look()
        if version != self._version:
            try:
                self._keys = load(self._path) if version is not None else {}
                log.info("node keys read again", extra={"event": "keys_read", "nodes": len(self._keys)})
            except InputError as error:
                log.error("new node keys refused, the old ones stay", extra={"event": "keys_bad", "reason": str(error)})  # noqa: TRY400 - the message says it all
            self._version = version  # last: threads that come here at once all read the file
        return self._keys.get(node)

    def _look(self) -> tuple[int, int, int, int] | None:
        """What changes when the file does."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode


def _parse(path: Path, text: str) -> dict[int, NodeKey]:
    keys: dict[int, NodeKey] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        where = f"{path}:{number}"
        match = LINE.fullmatch(content)
        if match is None:
            raise InputError(
                f"{where}: not `node epoch key`; write node and epoch as whole numbers and the key as 32 hex digits"
            )
        node, epoch, old = int(match[1]), int(match[2]), int(match[4] or 0)
        if node > NODE_LIMIT or max(epoch, old) > EPOCH_LIMIT:
            raise InputError(f"{where}: node and epoch are 0 to {NODE_LIMIT}; correct this line")
        if node in keys:
            raise InputError(f"{where}: node {node} stands here twice; keep the line with the higher epoch")
        if match[4] and old >= epoch:
            raise InputError(f"{where}: the old epoch is not below the new one; exchange the two keys")
        previous = NodeKey(old, bytes.fromhex(match[5])) if match[4] else None
        keys[node] = NodeKey(epoch, bytes.fromhex(match[3]), previous)
    return keys


def _line(node: int, key: NodeKey) -> str:
    old = f" {key.previous.epoch} {key.previous.key.hex()}" if key.previous else ""
    return f"{node} {key.epoch} {key.key.hex()}{old}"


def _remarks(path: Path) -> tuple[list[str], dict[int, str]]:
    """What people wrote into the file: the lines above the nodes, and what stands behind `#` on a node's line."""
    heading, remarks = [HEADING], {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return heading, {}
    for line in lines:
        content, mark, remark = line.partition("#")
        match = LINE.fullmatch(content.strip())
        if match is not None and mark:
            remarks[int(match[1])] = f"  # {remark.strip()}"
        elif not content.strip() and mark and not line.startswith("# node epoch key"):
            heading.append(line.rstrip())
    return heading, remarks
