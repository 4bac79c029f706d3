"""What gateways and the server say to each other about readings that the database lacks.

A gateway reports on `aoii/holds/<gateway>` which numbers of each node it has accepted, and what became of those that it
was asked for. The server asks on `aoii/ask/<gateway>`. No such message deletes anything; an old station never gets one,
because the topics are new. Pure: values in, bytes out; bytes in, a value or a `ProtocolError` out.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from aoii.broker import json_fields
from aoii.broker.messages import is_gateway_name, is_node_name
from aoii.core.errors import ProtocolError

LIMIT_BYTES = 128_000  # a longer message is rejected
MESSAGE_BYTES = 16_000  # what we send: the embedded broker rejects payloads over 20 kB
HOLES_LIMIT = 300  # in one message to a gateway
NUMBER_LIMIT = 2**63 - 1  # of everything that is counted; what SQLite holds
FILE = re.compile(r"[0-9a-f]{16}", re.ASCII)

FindingKind = Literal["void", "unknown", "silent", "forgotten", "absent"]
"""What became of numbers that a gateway was asked for and does not hold.

`void`: the node proves that it never saw them acknowledged; `unknown`: the node cannot say, for it has forgotten newer
ones; `silent`: the node does not answer such questions; `forgotten`: this gateway had them and has made room since;
`absent`: this gateway never had them, and has not asked the node. In answer to a question that is for the node,
`absent` says that this gateway cannot ask it.
"""

KINDS: tuple[FindingKind, ...] = get_args(FindingKind)


@dataclass(frozen=True)
class Finding:
    """What became of the numbers `first`..`last`."""

    first: int
    last: int
    kind: FindingKind


@dataclass(frozen=True)
class Holding:
    """What a gateway reports of one node and epoch.

    Attributes:
        node: The node's name.
        epoch: The epoch in which the numbers count.
        low: The lowest number that this gateway has accepted, as far as it knows.
        high: The highest.
        waiting: How many of its readings wait in the outbox.
        findings: Answers to questions, disjoint.
    """

    node: str
    epoch: int
    low: int
    high: int
    waiting: int
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Report:
    """One message of a gateway; a report of many nodes is several messages, each complete in itself.

    Attributes:
        file: Sixteen hexadecimal digits that name the gateway's outbox file, drawn when it was made.
        seq: The highest sequence number given to a reading in this file.
        asked: Number of the newest question that has arrived; 0 before the first. It proves that both topics work.
        holdings: What the gateway holds, by node and epoch.
    """

    file: str
    seq: int
    asked: int
    holdings: tuple[Holding, ...]


@dataclass(frozen=True)
class Hole:
    """Numbers of a node that the database lacks.

    Attributes:
        is_for_node: Whether the gateway shall ask the node itself for those that it does not hold.
    """

    node: str
    epoch: int
    first: int
    last: int
    is_for_node: bool


@dataclass(frozen=True)
class Ask:
    """One message of the server.

    Attributes:
        number: Rises with each question of one server; the gateway's next report names it.
        is_restored: Whether the gateway's file is an older copy of itself: its forecasts and the epoch of its old nodes
            must not be used any more.
        holes: What is missing; none when the server only wants a report.
    """

    number: int
    is_restored: bool
    holes: tuple[Hole, ...] = ()


def holds_topic(gateway: str) -> str:
    """Topic of a gateway's reports."""
    return f"aoii/holds/{gateway}"


def gateway_of_holds(topic: str) -> str | None:
    """The gateway that reports on this topic; None for another topic."""
    gateway = topic.removeprefix("aoii/holds/")
    return gateway if gateway != topic and is_gateway_name(gateway) else None


def ask_topic(gateway: str) -> str:
    """Topic of the questions to a gateway."""
    return f"aoii/ask/{gateway}"


def encode_report(report: Report) -> list[bytes]:
    """JSON of a report, in as many messages as it takes; one even if there is nothing to report.

    `{"v": 1, "file": …, "seq": …, "asked": …, "nodes": [[node, epoch, low, high, waiting, findings], …]}`, where each
    finding is `[first, last, kind]`.
    """
    head = {"v": 1, "file": report.file, "seq": report.seq, "asked": report.asked}
    rows = [
        [one.node, one.epoch, one.low, one.high, one.waiting, [[each.first, each.last, each.kind] for each in part]]
        for one in report.holdings
        for part in _parts(one.findings)
    ]
    return [_dumped(head | {"nodes": part}) for part in _sized(rows)]


def decode_report(payload: bytes) -> Report:
    """Decode a report.

    Raises:
        ProtocolError: With reason `size`, `encoding`, `json`, `shape` or `range`; then nothing of it is used.
    """
    fields = _versioned(payload)
    file, nodes = fields.get("file"), fields.get("nodes")
    if not isinstance(file, str) or not FILE.fullmatch(file):
        raise ProtocolError("shape", "file is not 16 lower-case hexadecimal digits")
    if not isinstance(nodes, list):
        raise ProtocolError("shape", "nodes is not a list")
    seq = json_fields.whole(fields, "seq", 0, NUMBER_LIMIT)
    asked = json_fields.whole(fields, "asked", 0, NUMBER_LIMIT)
    return Report(file, seq, asked, tuple(map(_holding, nodes)))


def encode_ask(ask: Ask) -> list[bytes]:
    """JSON of a question, in as many messages of the same number as it takes; one even if nothing is missing.

    `{"v": 1, "number": …, "restored": …, "holes": [[node, epoch, first, last, is_for_node], …]}`
    """
    head = {"v": 1, "number": ask.number, "restored": ask.is_restored}
    rows = [[hole.node, hole.epoch, hole.first, hole.last, hole.is_for_node] for hole in ask.holes]
    return [_dumped(head | {"holes": part}) for part in _sized(rows)]


def decode_ask(payload: bytes) -> Ask:
    """Decode a question.

    Raises:
        ProtocolError: With reason `size`, `encoding`, `json`, `shape` or `range`; then nothing of it is used.
    """
    fields = _versioned(payload)
    holes = fields.get("holes")
    if not isinstance(holes, list) or len(holes) > HOLES_LIMIT:
        raise ProtocolError("shape", f"holes is not a list of at most {HOLES_LIMIT}")
    number = json_fields.whole(fields, "number", 0, NUMBER_LIMIT)
    return Ask(number, json_fields.truth(fields, "restored"), tuple(map(_hole, holes)))


def _parts(findings: Sequence[Finding]) -> list[Sequence[Finding]]:
    """Findings in parts that fit into a message beside others; one part, empty, if there are none."""
    return [findings[at : at + HOLES_LIMIT] for at in range(0, len(findings), HOLES_LIMIT)] or [()]


def _sized(rows: list[list[object]]) -> list[list[list[object]]]:
    """Rows in lists whose JSON stays below MESSAGE_BYTES, unless one row alone is longer; one list if there is none."""
    parts: list[list[list[object]]] = [[]]
    used = 0
    for row in rows:
        size = len(_dumped(row)) + 1
        if parts[-1] and (used + size > MESSAGE_BYTES or len(parts[-1]) == HOLES_LIMIT):
            parts.append([])
            used = 0
        parts[-1].append(row)
        used += size
    return parts


def _dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _versioned(payload: bytes) -> json_fields.Fields:
    fields = json_fields.decode_object(payload, LIMIT_BYTES)
    if not json_fields.is_one(fields.get("v")):
        raise ProtocolError("shape", "v is not 1; this version of aoii does not know the message")
    return fields


def _holding(row: object) -> Holding:
    match row:
        case [str(node), epoch, low, high, waiting, list(findings)] if is_node_name(node):
            first, last = _range(low, high)
            return Holding(node, _number(epoch), first, last, _number(waiting), tuple(map(_finding, findings)))
    raise ProtocolError("shape", "an item of nodes is not [node, epoch, low, high, waiting, findings]")


def _finding(row: object) -> Finding:
    match row:
        case [first, last, str(word)] if word in KINDS:
            kind: FindingKind = next(each for each in KINDS if each == word)
            return Finding(*_range(first, last), kind)
    raise ProtocolError("shape", "a finding is not [first, last, kind]")


def _hole(row: object) -> Hole:
    match row:
        case [str(node), epoch, first, last, bool(is_for_node)] if is_node_name(node):
            return Hole(node, _number(epoch), *_range(first, last), is_for_node)
    raise ProtocolError("shape", "a hole is not [node, epoch, first, last, is_for_node]")


def _range(first: object, last: object) -> tuple[int, int]:
    low, high = _number(first), _number(last)
    if low > high:
        raise ProtocolError("range", f"numbers {low} to {high} are none")
    return low, high


def _number(value: object) -> int:
    if type(value) is not int:
        raise ProtocolError("shape", "a number is not whole")
    if not 0 <= value <= NUMBER_LIMIT:
        raise ProtocolError("range", f"a number is outside 0..{NUMBER_LIMIT}")
    return value
