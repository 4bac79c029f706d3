"""Replays the golden vectors; the same source runs on CPython and on MicroPython, so it uses only what both have.

`replay(name, cases)` gives the differences found, as text; an empty list means that this interpreter agrees with the
file.
"""

import hashlib

from aoii.core import frames, link, stream
from aoii.core.forecast import Trend, estimate
from aoii.core.frames import Ack, NodeSettings, Rejected, Uplink
from aoii.core.link_state import PendingReading
from aoii.core.store import NUMBER_SLOTS, RamStore
from aoii.edge.node import Node

MYPY = False
if MYPY:
    from typing import Any

    Case = dict[str, Any]
    Json = list[Any]

FILES = ("trend", "uplinks", "acks", "stream", "link", "node")


def replay(name: str, cases: "list[Case]") -> list[str]:
    """The differences between the cases of a file and what this interpreter makes of them."""
    check = {"trend": _trend, "uplinks": _uplink, "acks": _ack, "stream": _stream, "link": _script, "node": _life}[name]
    return [f"{case.get('name', case)}: {problem}" for case in cases for problem in check(case)]


def _differs(what: str, expected: object, actual: object) -> list[str]:
    return [] if expected == actual else [f"{what} is {actual}, expected {expected}"]


def _trend(case: "Case") -> list[str]:
    return _differs("estimate", case["estimate_c"], estimate(*case["arguments"]))


def uplink_of(fields: "Case") -> Uplink:
    """An uplink from its JSON form."""
    values = [fields[name] for name in ("node", "epoch", "frame", "counter", "age_s", "temperature_c", "humidity_c")]
    values += [Trend(*fields["trend"])] + [fields[name] for name in ("flags", "generation", "battery")]
    values.append(fields.get("answers", 0))
    return Uplink(*values)


def ack_of(fields: "Case") -> Ack:
    """An acknowledgement from its JSON form."""
    settings = fields["settings"]
    values = [fields[name] for name in ("node", "epoch", "frame", "unix_s", "unix_ms", "generation")]
    values.append(None if settings is None else NodeSettings(*settings))
    values.append(fields.get("again", 0))
    return Ack(*values)


def _uplink(case: "Case") -> list[str]:
    key = bytes.fromhex(case["key"])
    decoded = frames.decode_uplink(bytes.fromhex(case["bytes"]), lambda node: key if node == 7 else None)
    if "reason" in case:
        return _differs("reason", case["reason"], decoded.reason if isinstance(decoded, Rejected) else decoded)
    uplink = uplink_of(case["fields"])
    return _differs("bytes", case["bytes"], frames.encode_uplink(uplink, key).hex()) + _differs(
        "decoded", uplink, decoded
    )


def _ack(case: "Case") -> list[str]:
    key = bytes.fromhex(case["key"])
    decoded = frames.decode_ack(bytes.fromhex(case["bytes"]), 7, 1, key)
    if "reason" in case:
        return _differs("reason", case["reason"], decoded.reason if isinstance(decoded, Rejected) else decoded)
    ack = ack_of(case["fields"])
    return _differs("bytes", case["bytes"], frames.encode_ack(ack, key).hex()) + _differs("decoded", ack, decoded)


def notes_of(found: "list[stream.Line | stream.Frame | stream.Damaged]") -> "Json":
    """What a reader found, in its JSON form."""
    notes = []
    for note in found:
        if isinstance(note, stream.Line):
            notes.append(["line", note.text])
        elif isinstance(note, stream.Frame):
            notes.append(["frame", note.type.decode(), note.content.hex()])
        else:
            notes.append(["damaged", note.reason])
    return notes


def _stream(case: "Case") -> list[str]:
    data = bytes.fromhex(case["bytes"])
    bytewise = stream.Reader()
    single = []
    for byte in data:
        single += bytewise.feed(bytes((byte,)))
    problems = _differs("read whole", case["notes"], notes_of(stream.Reader().feed(data)))
    problems += _differs("read bytewise", case["notes"], notes_of(single))
    if "sent" in case:
        kind, content = case["sent"]
        problems += _differs("encoded", case["bytes"], stream.encode_usb(kind.encode(), bytes.fromhex(content)).hex())
    return problems


class Chance:
    """Numbers in [0, 1) with eight bits, which single precision multiplies without loss."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def byte(self) -> int:
        """0..255: a linear congruential generator."""
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return self._state >> 16 & 0xFF

    def random(self) -> float:
        """As `random.random`."""
        return self.byte() / 256


KEY = bytes(range(16))


def _sends(sends: list[link.Send]) -> "Json":
    return [[send.kind, send.data.hex()] for send in sends]


def _script(case: "Case") -> list[str]:
    machine = link.Link(7, 1, KEY, NodeSettings(*case["settings"]), RamStore(), Chance(case["seed"]).random)
    for step in case["steps"]:
        actual = do_link(machine, step)
        if actual != step["then"]:
            return _differs(f"at {step['at_ms']} ms, {step['do']}", step["then"], actual)
    return []


def do_link(machine: link.Link, step: "Case") -> "Case":
    """One step of a script; what it led to, in its JSON form."""
    at_ms = step["at_ms"]
    acknowledged = None
    if step["do"] == "submit":
        temperature_c, humidity_c, trend = step["reading"]
        machine.submit(step["kind"], temperature_c, humidity_c, Trend(*trend), 0, 0, at_ms, at_ms)
    elif step["do"] == "receive":
        acknowledged = machine.receive(bytes.fromhex(step["bytes"]), at_ms)
    return {
        "acknowledged": acknowledged.counter if isinstance(acknowledged, PendingReading) else None,
        "sends": _sends(machine.due(at_ms)),
        "state": machine.state,
        "deadline_ms": machine.deadline_ms(),
        "backlog": machine.ring.waiting,
    }


def _life(case: "Case") -> list[str]:
    life = Life(case["seed"], case["loss"], case["sleeps"])
    life.go_on(case["samples"])
    return _differs("digest", case["digest"], life.digest())


class Echo:
    """A predictor whose trends are a function of the errors that it gets."""

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        """Nothing."""

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        """Some trend."""
        return Trend(error_t_c % 31 - 15, error_t_c % 21 - 10, error_h_c % 31 - 15, error_h_c % 21 - 10, error_t_c & 1)

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        """Nothing."""


class Life:
    """A node on a radio that loses `loss` of 256 packets each way, and a digest of all that it sends and holds.

    One that sleeps loses everything but its dump and its flash after each sample, and does the same.
    """

    def __init__(self, seed: int, loss: int, sleeps: bool = False) -> None:
        self._chance = Chance(seed)
        self._loss = loss
        self._sleeps = sleeps
        self._flash = RamStore(NUMBER_SLOTS + 6)
        self._node = self._new()
        self._digest = hashlib.sha256()
        self._temperature_c, self._humidity_c = 2000, 5000
        self._minute = 0

    def digest(self) -> str:
        """Of everything so far."""
        return self._digest.digest().hex()

    def go_on(self, samples: int) -> None:
        """Take so many more samples."""
        for _ in range(samples):
            self._sample(0xFFFFFFFF - 600_000 + self._minute * 60_000)  # the tick wraps after ten minutes
            self._minute += 1
            if self._sleeps:
                state = self._node.dump()
                self._node = self._new()
                if not self._node.load(state):
                    raise ValueError("the dump was not taken")

    def _new(self) -> Node:
        return Node(7, 1, KEY, NodeSettings(50, 300, 60, 1800, 300, 1), Echo(), self._flash, self._chance.random)

    def _sample(self, at_ms: int) -> None:
        node, byte = self._node, self._chance.byte
        now_ms = at_ms & 0xFFFFFFFF
        self._temperature_c += byte() % 41 - 20
        self._humidity_c = max(0, min(10000, self._humidity_c + byte() % 201 - 100))
        absent = byte() < 3
        sends = node.sample(now_ms, None if absent else self._temperature_c / 100, self._humidity_c / 100)
        while sends:
            data = sends.pop(0).data
            self._digest.update(data)
            ack = self._answer(data)
            if ack and byte() >= self._loss:
                sends += node.receive(ack, now_ms)
        estimate = node.forecast.at(at_ms) if node.forecast is not None else None
        status = node.sampled.status if node.sampled is not None else None
        self._digest.update(repr((status, estimate, node.deadline_ms())).encode())

    def _answer(self, data: bytes) -> bytes:
        uplink = frames.decode_uplink(data, lambda node: KEY)
        if self._chance.byte() < self._loss or not isinstance(uplink, Uplink):
            return b""
        settings = None if uplink.generation else NodeSettings(40, 250, 60, 1800, 300, 2)
        return frames.encode_ack(Ack(7, 1, uplink.frame, 1_451_606_400 + self._minute * 60, 500, 1, settings, 0), KEY)
