"""Somebody without a key at the radio: frames of every forged kind against a gateway, acknowledgements against a node.

The gateway's end is the real one, receiver, decoder, bridge and intake on an outbox file; only the serial port is a
double that keeps what is answered. The node's end is the real link. Nothing may be accepted, nothing answered, and
every try must be counted by its reason. What that shows is that no path leads past the checks; of the strength of a
code of 48 bits a million tries show next to nothing (they would find one that lets a forgery in 300,000 pass: 3/n).
"""

import contextlib
import logging
import random
import resource
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aoii.core.forecast import HOLD, PROVISIONED
from aoii.core.frames import (
    EVENT,
    MAC_BYTES,
    UPLINK_BYTES,
    Ack,
    Rejected,
    Uplink,
    decode_ack,
    encode_ack,
    encode_uplink,
)
from aoii.core.link import Link
from aoii.core.store import RamStore
from aoii.core.stream import DOWNLINK, Frame, Reader, encode_usb_uplink
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.intake import Intake
from aoii.gateway.listening import Listening
from aoii.gateway.neighbours import Neighbours
from aoii.gateway.node_state import REPLAY_WINDOW
from aoii.gateway.receiver import Receiver
from aoii.runtime import metrics
from aoii.security.node_keys import KeyRing, NodeKey, write_key_file
from aoii.settings import load

NODES = range(1, 5)
EPOCH = 7
PAST = 200  # honest frames of each node that were overheard
UNSETTLED = 64  # tries that may be on their way through the outbox
SHARE_OF_NODE = 4  # one try in so many goes to a node
RSS_SLACK_MB = 30.0


class Breach(AssertionError):  # noqa: N818 - it names itself
    """A forgery had an effect."""


@dataclass
class Account:
    """What became of the tries.

    Attributes:
        tries: By kind.
        reasons: Refusals by the gateway's own count.
        repeated: Frames of the last few, overheard and sent again: answered as a retransmission is, and nothing more.
        node_refused, node_ignored: Forgeries that a node refused, and authentic old acknowledgements without effect.
        rss_mb: Memory of this process when a tenth of the tries was done, and at the end.
    """

    tries: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    node_refused: int = 0
    node_ignored: int = 0
    rss_mb: tuple[float, float] = (0.0, 0.0)

    def __str__(self) -> str:
        refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.reasons.items()))
        return (
            f"{sum(self.tries.values()):,} tries, 0 accepted; the gateway refused {refused}, "
            f"and answered {self.repeated:,} retransmissions again; the node refused {self.node_refused:,} and ignored "
            f"{self.node_ignored:,}; {self.rss_mb[0]:.0f} MB, then {self.rss_mb[1]:.0f}"
        )


class _SilentPort:
    """In the place of the serial port: keeps what the gateway says to the radio."""

    path = "nowhere"

    def __init__(self) -> None:
        self.said: deque[bytes] = deque()

    def answer(self, data: bytes, deadline_s: float | None = None) -> None:
        self.said.append(data)


class Gateway:
    """A gateway's receiving end on an outbox file of its own, which has heard some honest frames.

    Args:
        folder: Empty; for its files.
        rng: Of the nodes' keys.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.keys = {node: NodeKey(EPOCH, rng.randbytes(16)) for node in NODES}
        settings = load({"AOII_DATA_DIR": str(folder), "SERIAL_PORT": "nowhere"}, None)
        write_key_file(settings.gateway.node_keys_file, self.keys)
        self.store = OutboxFile(settings.gateway.outbox_path, 1 << 26)
        intake = Intake(settings.gateway, settings.clock, None, self.store, lambda _: None, lambda _: True)
        keys = KeyRing(settings.gateway.node_keys_file)
        listening = Listening(folder / "liveness.json", settings.clock, [])
        neighbours = Neighbours(intake.wanted, 0)
        self._receiver = Receiver("nowhere", "gateway/nowhere", intake, keys, neighbours, listening, lambda *_: 0)
        self._port = _SilentPort()
        self._receiver.port = self._port  # type: ignore[assignment]  # a double
        self._air, self._ear = Reader(), Reader()

    def close(self) -> None:
        """Let go of the file."""
        self.wait_idle()
        self.store.close()

    def receive(self, data: bytes) -> None:
        """Have the receiver on USB hear a frame."""
        self._receiver._on_items(self._air.feed(encode_usb_uplink(-90, 8, data)), 0.0)

    def wait_idle(self) -> None:
        """Wait until everything heard has been judged."""
        self.store.submit(lambda tx: None).result()

    def answers(self) -> list[bytes]:
        """What was said to the radio since the last call."""
        self.wait_idle()
        said = b"".join(self._port.said)
        self._port.said.clear()
        return [item.content for item in self._ear.feed(said) if isinstance(item, Frame) and item.type == DOWNLINK]

    def memory(self) -> object:
        """All that it has durably: the states of nodes and the number of readings."""
        return self.store.submit(lambda tx: (tx.states(), tx.total_tx())).result()


def frame_of(node: int, number: int, key: bytes, epoch: int = EPOCH) -> bytes:
    """An event of a node whose frames and events have the same numbers."""
    temperature_c = 2000 + number * 37 % 1000
    return encode_uplink(Uplink(node, epoch, number, number, 0, temperature_c, 5000, HOLD, EVENT, 0, 0, 0), key)


def attack(folder: Path, tries: int, rng: random.Random) -> Account:
    """Send forgeries, and see that they come to nothing.

    Args:
        folder: Empty; for the outbox.
        tries: How many.
        rng: Of everything.

    Raises:
        Breach: Something was accepted, answered, or not counted; or an honest node is not heard any more.
    """
    with contextlib.closing(Gateway(folder, rng)) as gateway, _quiet():
        overheard = {
            node: [frame_of(node, number, key.key) for number in range(1, PAST + 1)]
            for node, key in gateway.keys.items()
        }
        acks: list[bytes] = []
        for frames in overheard.values():
            for data in frames:
                gateway.receive(data)
            acks += gateway.answers()
        _insist(len(acks) == PAST * len(NODES), f"{len(acks)} answers to {PAST * len(NODES)} honest frames")
        account = Account()
        node = _Victim(gateway.keys[NODES[0]].key)
        before, counts = gateway.memory(), _refusals()
        kinds = list(_forgeries(rng, gateway.keys, overheard, acks))
        for number in range(tries):
            if number == tries // 10:
                account.rss_mb = (_rss_mb(), 0.0)
            if number % SHARE_OF_NODE == 0:
                node.suffer(rng, acks, overheard, account)
                continue
            kind, forge = rng.choice(kinds)
            account.tries[kind] += 1
            gateway.receive(forge())
            if number % UNSETTLED == 1:
                account.repeated += _only_repeated(gateway)
        account.repeated += _only_repeated(gateway)
        account.rss_mb = (account.rss_mb[0], _rss_mb())
        account.reasons = {
            reason: count for reason, now in _refusals().items() if (count := now - counts.get(reason, 0))
        }
        _insist(gateway.memory() == before, "the gateway's memory has changed")
        counted = sum(account.reasons.values()) + account.repeated + account.node_refused + account.node_ignored
        _insist(counted == tries, f"{tries} tries, of which {counted} are counted: {account}")
        _insist(account.rss_mb[1] - account.rss_mb[0] < RSS_SLACK_MB, f"memory grew: {account}")
        for number, key in gateway.keys.items():
            gateway.receive(frame_of(number, PAST + 1, key.key))
        _insist(len(gateway.answers()) == len(NODES), "an honest node is not heard any more")
    return account


def _forgeries(
    rng: random.Random, keys: dict[int, NodeKey], overheard: dict[int, list[bytes]], acks: list[bytes]
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Every kind of frame that somebody without a key can make, by name."""

    def any_node() -> int:
        return rng.choice(NODES)

    def any_frame() -> bytes:
        return rng.choice(overheard[any_node()])

    def flipped() -> bytes:
        data = bytearray(any_frame())
        for bit in rng.sample(range(8 * len(data)), rng.randint(1, 8)):
            data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    def beginning_of_an_honest_one() -> bytes:
        return any_frame()[:-MAC_BYTES] + rng.randbytes(MAC_BYTES)

    def cut() -> bytes:
        data = any_frame()
        return rng.choice((data[: rng.randrange(1, len(data))], data + rng.randbytes(rng.randint(1, 20))))

    def with_the_key_of_another() -> bytes:
        node = any_node()
        return frame_of(node, PAST + rng.randint(1, 1000), keys[node % len(NODES) + 1].key)

    def mixed() -> bytes:
        """The body of one honest frame with the code of another."""
        body, code = any_frame(), any_frame()
        while body[-MAC_BYTES:] == code[-MAC_BYTES:]:
            code = any_frame()
        return body[:-MAC_BYTES] + code[-MAC_BYTES:]

    yield "random bytes", lambda: rng.randbytes(rng.randint(1, 60))
    yield "random bytes of the right length", lambda: bytes([0x10]) + rng.randbytes(UPLINK_BYTES - 1)
    yield "bits flipped", flipped
    yield "a guessed code", beginning_of_an_honest_one
    yield "cut or prolonged", cut
    yield "a random key", lambda: frame_of(any_node(), PAST + rng.randint(1, 1000), rng.randbytes(16))
    yield "another node's key", with_the_key_of_another
    yield "a stranger", lambda: frame_of(rng.randint(100, 65535), rng.randint(1, 1000), rng.randbytes(16))
    yield "two honest frames mixed", mixed
    yield "an acknowledgement as a frame", lambda: rng.choice(acks)
    yield "an acknowledgement prolonged", lambda: (rng.choice(acks) + rng.randbytes(UPLINK_BYTES))[:UPLINK_BYTES]
    # Overheard before the node was provisioned anew: authentic under a key that was not changed.
    yield "an old epoch", lambda: frame_of(node := any_node(), rng.randint(1, 2000), keys[node].key, EPOCH - 1)
    yield "an old frame", lambda: rng.choice(overheard[any_node()][: PAST - REPLAY_WINDOW])
    yield "a late frame", lambda: rng.choice(overheard[any_node()][-REPLAY_WINDOW:])


def _only_repeated(gateway: Gateway) -> int:
    """How many were answered; all of them must be acknowledgements of frames that were accepted long before."""
    answers = gateway.answers()
    for data in answers:
        node = data[1] | data[2] << 8
        ack = decode_ack(data, node, EPOCH, gateway.keys[node].key)
        _insist(isinstance(ack, Ack) and PAST - REPLAY_WINDOW < ack.frame <= PAST, f"a forgery was answered: {ack}")
    return len(answers)


class _Victim:
    """A node that waits for an acknowledgement, and hears others'.

    Args:
        key: Its own.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._past = [encode_ack(Ack(NODES[0], EPOCH, number, 1, 0, 0, None, 0), key) for number in range(1, PAST)]
        self._link = Link(NODES[0], EPOCH, key, PROVISIONED, RamStore(), random.Random(1).random)
        self._skip_numbers()
        self._link.submit(EVENT, 2000, 5000, HOLD, 0, 0, 0, 0)
        (self._sent,) = self._link.due(0)
        self._kinds: dict[str, Callable[[random.Random], bytes]] = {
            "to the node: random bytes": lambda rng: rng.randbytes(rng.choice((22, 33, rng.randint(0, 60)))),
            "to the node: bits flipped": self._flipped,
            "to the node: a random key": lambda rng: self._acknowledging(rng.randbytes(16)),
            "to the node: a guessed code": lambda rng: self._acknowledging(key)[:-MAC_BYTES] + rng.randbytes(MAC_BYTES),
            "to the node: its own frame": lambda rng: (self._sent.data + bytes(1))[: rng.choice((22, 32, 33))],
            "to the node: an old epoch": lambda rng: self._acknowledging(key, EPOCH - rng.randint(1, EPOCH)),
            "to the node: an old acknowledgement": lambda rng: rng.choice(self._past),
        }

    def _skip_numbers(self) -> None:
        """As if it had sent for a while: what was overheard is not what it waits for."""
        for _ in range(2 * PAST):
            self._link._counters.next_frame()

    def _acknowledging(self, key: bytes, epoch: int = EPOCH) -> bytes:
        """What it waits for, under some key."""
        frame = int.from_bytes(self._sent.data[5:9], "little")
        return encode_ack(Ack(NODES[0], epoch, frame, 1_700_000_000, 0, 1, PROVISIONED, 0), key)

    def _flipped(self, rng: random.Random) -> bytes:
        data = bytearray(self._acknowledging(self._key))
        for bit in rng.sample(range(8 * len(data)), rng.randint(1, 8)):
            data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    def _state(self) -> list[object]:
        """All that it knows, except how often it has refused something."""
        known = {name: value for name, value in vars(self._link).items() if name != "rejected"}
        return [*known.values(), *vars(self._link.clock).values()]

    def suffer(
        self, rng: random.Random, acks: list[bytes], overheard: dict[int, list[bytes]], account: Account
    ) -> None:
        """Hear one forgery, which must change nothing."""
        kind = rng.choice([*self._kinds, "to the node: another's acknowledgement", "to the node: another's frame"])
        if kind == "to the node: another's acknowledgement":
            data = rng.choice([ack for ack in rng.sample(acks, 20) if ack[1] != NODES[0]] or [b""])
        elif kind == "to the node: another's frame":
            data = rng.choice(overheard[NODES[1]])
        else:
            data = self._kinds[kind](rng)
        account.tries[kind] += 1
        link = self._link
        before = self._state()
        answer = link.receive(data, 100)
        after = self._state()
        _insist(before == after and (answer is None or isinstance(answer, Rejected)), f"{kind} has changed a node")
        if answer is None:
            account.node_ignored += 1
        else:
            account.node_refused += 1


def _refusals() -> dict[str, int]:
    """The gateway's count of refusals by reason, and of acknowledgements that came back, by whose they are."""
    return {
        next(iter(sample.labels.values())): round(sample.value)
        for metric in (metrics.REJECTED, metrics.HEARD_ACKS)
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def _rss_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _insist(truth: bool, text: str) -> None:
    if not truth:
        raise Breach(text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A gateway says each refusal; a million lines say no more than their count."""
    log = logging.getLogger("aoii.gateway.receiver")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
