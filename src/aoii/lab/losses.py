"""A radio that loses packets: at random, or as a real one did.

It decides for one transmission after the other; it refuses to know what is in them.
"""

import csv
import gzip
import io
import itertools
import random
import statistics
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from aoii.core.errors import InputError

RESTART = 1000  # a sequence number that jumps further than this, or back, is a node that began anew, not a loss


@dataclass(frozen=True)
class Reception:
    """What a real gateway heard of one node that sent once in each interval."""

    interval_s: float
    heard: tuple[bool, ...]


class Channel(Protocol):
    """Both directions between node and gateway."""

    lossless: bool

    def up(self, at_s: float) -> bool:
        """Whether the gateway hears a packet sent `at_s` seconds into the recording."""

    def down(self) -> bool:
        """Whether the node hears the acknowledgement."""


class Random:
    """Each packet and each acknowledgement is lost with its own probability, whatever happened to others."""

    def __init__(self, loss: float, ack_loss: float, seed: str) -> None:
        self._loss, self._ack_loss = loss, ack_loss
        self._draw = random.Random(seed).random  # noqa: S311 - weather, not secrets
        self.lossless = loss <= 0 and ack_loss <= 0

    def up(self, at_s: float) -> bool:
        """See `Channel`."""
        return self._draw() >= self._loss

    def down(self) -> bool:
        """See `Channel`."""
        return self._draw() >= self._ack_loss


class Replayed(Random):
    """A recorded reception, over and over: where its packet was lost, every try is lost. Random loss comes on top."""

    def __init__(self, reception: Reception, loss: float, ack_loss: float, seed: str) -> None:
        super().__init__(loss, ack_loss, seed)
        self._reception = reception
        self.lossless = False

    def up(self, at_s: float) -> bool:
        """See `Channel`."""
        heard = self._reception.heard
        return heard[int(at_s // self._reception.interval_s) % len(heard)] and super().up(at_s)


def load(path: Path) -> dict[str, Reception]:
    """The receptions of a trace by node: CSV or CSV.gz with the columns timestamp, seq and perhaps node.

    Raises:
        InputError: The file cannot be read, or a row is malformed; names the file, the line and what to do.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV or CSV.gz file in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text))
    if not {"timestamp", "seq"} <= set(reader.fieldnames or ()):
        raise InputError(
            f"{path}: lacks timestamp or seq; a reception trace has timestamp,node,temperature,humidity,seq"
        )
    rows: dict[str, list[tuple[datetime, int]]] = {}
    for row in reader:
        try:
            entry = datetime.fromisoformat(row["timestamp"]), int(row["seq"])
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}:{reader.line_num}: {error}; correct or remove the line") from error
        rows.setdefault(row.get("node") or "", []).append(entry)
    receptions = {node: _reception(entries) for node, entries in rows.items() if len(entries) > 1}
    if not receptions:
        raise InputError(f"{path}: no node has two rows; give a longer trace")
    return receptions


def _reception(entries: list[tuple[datetime, int]]) -> Reception:
    heard = [True]
    intervals = []
    for (before, last), (at, seq) in itertools.pairwise(entries):
        passed = seq - last
        lost = passed - 1 if 0 < passed <= RESTART else 0
        heard += [False] * lost + [True]
        if not lost:
            intervals.append((at - before).total_seconds())
    return Reception(max(statistics.median(intervals or [60.0]), 1.0), tuple(heard))
