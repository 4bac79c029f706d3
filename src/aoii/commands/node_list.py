"""What `aoii node list` prints: what the files say of each node, and what the running gateway has heard of it."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len

from aoii import settings
from aoii.commands import container, node_files
from aoii.commands.node_files import NodeFiles
from aoii.core.errors import UnavailableError
from aoii.gateway import node_labels
from aoii.runtime import metrics
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.runtime.station_client import StationClient

HEADING = ("NODE", "NAME", "PLACE", "EPOCH", "KEY", "STATE", "LAST HEARD", "BATTERY")
NEVER = "-"


@dataclass(frozen=True)
class Line:
    """One node.

    Attributes:
        node: Its number, or its identity if it has the old firmware.
        name: Its name; None without.
        place: Its place; None without.
        epoch: The epoch of its newest key, of its last one if it is retired; None without.
        key: `current`, `rotating` (the old key is in the file too), `retired`, or `none` (the old firmware).
        accepts_epoch: The epoch of the old key that is accepted until the new one is used; None without.
        is_on_board: Whether its newest key was written for a board by `aoii node flash`.
        liveness: `ok`, `late`, `dead`, `unknown` or `sensor_fault`; None if the gateway does not say.
        last_heard: When, in UTC; None if the gateway does not say.
        battery_v: Volts; None if the gateway does not say.
    """

    node: str
    name: str | None
    place: str | None
    epoch: int | None
    key: str
    accepts_epoch: int | None
    is_on_board: bool
    liveness: str | None
    last_heard: str | None
    battery_v: float | None


def print_nodes(env_file: Path | None, as_json: bool) -> None:
    """Print every node.

    Raises:
        InputError: A file cannot be used.
    """
    values = node_files.load(env_file)
    snapshot, silence = _ask(values)
    files = NodeFiles(values.gateway)
    lines = list(_lines(files, snapshot))
    if as_json:
        print(json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=1))
        return
    if lines:
        print("\n".join(_table([HEADING, *map(_cells, lines)])))
    else:
        print(f"there is no node in {files.keys_path} yet: aoii node add --name NAME")
    if silence is not None:
        print(f"the gateway does not answer ({silence}): whether its nodes are heard is not known")


def _ask(values: settings.Settings) -> tuple[MetricSnapshot, str | None]:
    """The metrics of the running gateway, or why there are none."""
    host, port, is_encrypted = container.status_address(values, "gateway")
    if not port:
        return MetricSnapshot(), "its status port is turned off"
    try:
        return MetricSnapshot(time.monotonic(), StationClient(host, port, is_encrypted).metrics()), None
    except UnavailableError as error:
        return MetricSnapshot(), error.problem


def _lines(files: NodeFiles, snapshot: MetricSnapshot) -> Iterator[Line]:
    heard = snapshot.by_label(metrics.NODE_LAST_HEARD_S, "node")
    battery = snapshot.by_label(metrics.NODE_BATTERY_V, "node")
    liveness = {
        dict(labels)["node"]: dict(labels)["state"]
        for labels, is_in in snapshot.samples.get(metrics.name_of(metrics.NODE_LIVENESS), {}).items()
        if is_in
    }
    for node in sorted({*map(str, files.keys), *files.labels, *heard}, key=node_labels.order):
        label = files.label(node)
        key = files.keys.get(int(node)) if node.isdecimal() else None
        state = "none" if label.retired is None else "retired"
        if key is not None:
            state = "current" if key.previous is None else "rotating"
        at = heard.get(node)
        yield Line(
            node,
            label.name,
            label.place,
            label.retired if key is None else key.epoch,
            state,
            key.previous.epoch if key is not None and key.previous is not None else None,
            key is not None and label.flashed is not None and label.flashed >= key.epoch,
            liveness.get(node),
            None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
            battery.get(node),
        )


def _cells(line: Line) -> tuple[str, ...]:
    key = line.key if line.accepts_epoch is None else f"{line.key}, {line.accepts_epoch} still accepted"
    if line.key == "current" and not line.is_on_board and line.last_heard is None:
        key = "on no board yet"
    return (
        line.node,
        line.name or NEVER,
        line.place or NEVER,
        NEVER if line.epoch is None else str(line.epoch),
        key,
        line.liveness or NEVER,
        line.last_heard or NEVER,
        NEVER if line.battery_v is None else f"{line.battery_v:.2f} V",
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows with equal columns; a Korean letter is two columns wide."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
