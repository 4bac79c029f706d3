"""The two files that say which nodes a gateway has: keys and labels, changed by one command at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from aoii import settings
from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers import labels_file
from aoii.gateway.node_labels import UNLABELLED, Labels, NodeLabel
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey


class NodeFiles:
    """Keys and labels, as they are on the disk.

    Args:
        own: The settings of the gateway, which name the files.

    Attributes:
        keys: By number.
        labels: By node.
        keys_path: The key file.
        labels_path: The file of labels.

    Raises:
        InputError: A file cannot be used.
    """

    def __init__(self, own: settings.Gateway) -> None:
        self.keys_path, self.labels_path = own.node_keys_file, own.nodes_file
        self.keys = node_keys.read_key_file(self.keys_path) if self.keys_path.exists() else {}
        self.labels: dict[str, NodeLabel] = labels_file.read(self.labels_path)

    def label(self, node: str) -> NodeLabel:
        """The label of a node; an empty one if it has none."""
        return self.labels.get(node, UNLABELLED)

    def save_labels(self, labels: Labels) -> None:
        """Replace the labels."""
        if labels != self.labels:
            labels_file.write(self.labels_path, labels)
            self.labels = dict(labels)

    def save_keys(self, keys: dict[int, NodeKey]) -> None:
        """Replace the keys; a running gateway reads them by itself."""
        node_keys.write_key_file(self.keys_path, keys)
        self.keys = keys


def load(env_file: Path | None) -> settings.Settings:
    """The settings of the gateway.

    Raises:
        SettingsError: Some are wrong.
    """
    return settings.load(env_file=env_file, station="gateway")


@contextlib.contextmanager
def changing(env_file: Path | None) -> Iterator[NodeFiles]:
    """The files, to be changed: a second command waits, so that two cannot give out one number or undo each other.

    Raises:
        InputError: A file cannot be used.
        UnavailableError: Their folder cannot be used.
    """
    own = load(env_file).gateway
    folder = own.nodes_file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UnavailableError(f"{folder}: {error.strerror}", "run this as the user of the gateway") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield NodeFiles(own)
    finally:
        os.close(handle)


def number_of(files: NodeFiles, node: str) -> int:
    """The number of a node that has a key.

    Raises:
        InputError: It has none.
    """
    if not node.isdecimal() or int(node) not in files.keys:
        raise InputError(f"node {node} has no key", "run `aoii node list` to see the nodes that have one")
    return int(node)
