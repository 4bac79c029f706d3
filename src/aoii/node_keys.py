"""The key file of our own nodes: one `node epoch key` a line, from provisioning, for gateway and simulation.

Host only. It refuses a file that others may read, and it never shows a key: not in an error, not in a `repr`.
"""

import logging
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aoii.core.errors import InputError

log = logging.getLogger(__name__)

KEY_BYTES = 16
NODE_LIMIT = EPOCH_LIMIT = 0xFFFF  # both are u16 on the radio
SIZE_LIMIT_BYTES = 8 * 1024 * 1024  # every node there can be, with a comment each, is smaller

LINE = re.compile(r"(\d{1,5})\s+(\d{1,5})\s+([0-9a-fA-F]{32})", re.ASCII)


@dataclass(frozen=True)
class NodeKey:
    """What a node was provisioned with: its epoch, 0..65535, which only ever rises, and its 16-byte key."""

    epoch: int
    key: bytes = field(repr=False)


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

    Raises:
        InputError: The file cannot be written.
    """
    lines = ["# node epoch key; keep this file secret"]
    lines += [f"{node} {keys[node].epoch} {keys[node].key.hex()}" for node in sorted(keys)]
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
        node, epoch = int(match[1]), int(match[2])
        if node > NODE_LIMIT or epoch > EPOCH_LIMIT:
            raise InputError(f"{where}: node and epoch are 0 to {NODE_LIMIT}; correct this line")
        if node in keys:
            raise InputError(f"{where}: node {node} stands here twice; keep the line with the higher epoch")
        keys[node] = NodeKey(epoch, bytes.fromhex(match[3]))
    return keys
