"""The file of node labels (NODES_FILE): read by everybody, replaced as a whole, and read again when it changes.

It holds nothing secret and everybody may read it: the gateway often runs as another user than the one who names nodes.
"""

import logging
from pathlib import Path

from aoii.core.errors import InputError
from aoii.gateway import node_labels
from aoii.gateway.node_labels import Labels, NodeLabel
from aoii.security import private_file

log = logging.getLogger(__name__)

SIZE_LIMIT_BYTES = 16 * 1024 * 1024  # every number with the longest name and place is smaller


def read(path: Path) -> dict[str, NodeLabel]:
    """The labels; none if there is no file.

    Raises:
        InputError: The file cannot be read, or is none of ours; the message names the path.
    """
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})", "check NODES_FILE and its permissions"
        ) from error
    if len(data) > SIZE_LIMIT_BYTES:
        raise InputError(f"{path}: larger than {SIZE_LIMIT_BYTES} bytes", "correct NODES_FILE")
    try:
        return node_labels.decode(data.decode("utf-8-sig"))  # Windows editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text", "save it as UTF-8") from error
    except InputError as error:
        raise InputError(f"{path}: {error.problem}", error.remedy) from error


def write(path: Path, labels: Labels) -> None:
    """Replace the file atomically, and have it on the disk.

    Raises:
        InputError: It cannot be written; then the old one is still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        private_file.replace(path, node_labels.encode(labels).encode(), mode=0o644)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})", "check the folder's permissions") from error


class LabelFile:
    """The labels in the file, which is read again when it changes; while a new file is not usable, the old labels stay.

    A file that cannot be used is reported in the log and stops nothing: without labels every reading is stored too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] | None = None
        self._labels: dict[str, NodeLabel] = {}

    def labels(self) -> Labels:
        """The labels by node."""
        version = self._file_version()
        if version != self._version:
            self._version = version
            try:
                self._labels = read(self._path)
            except InputError as error:
                fields = {"event": "labels_bad", "reason": str(error)}
                log.error("new node labels not usable, old ones stay", extra=fields)  # noqa: TRY400 - the message says it all
        return self._labels

    def _file_version(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
