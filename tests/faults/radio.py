"""Nodes, radio and USB receiver in one thread at the far end of a pseudo-terminal, as fast as the gateway answers.

Each node is stop-and-wait: a frame is repeated byte for byte until its acknowledgement is heard, and only then does the
next reading get its frame. Nothing here knows that stations can be killed: a port that takes nothing is a radio that
nobody hears.
"""

import contextlib
import os
import random
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aoii.core.forecast import HOLD
from aoii.core.frames import BACKFILL, EVENT, HEARTBEAT, LOW_BATTERY, Rejected, Uplink, decode_ack, encode_uplink
from aoii.core.stream import DOWNLINK, Frame, Reader, encode_usb_uplink
from aoii.security.node_keys import NodeKey
from faults.recorder import Content, Key, Recorder
from servers import pty_port

EPOCH = 3
REPEAT_S = 0.3  # a gateway that lives answers within 10 ms
TRICKLE_S = 2.0  # between two readings of one node when the burst is over: a real node takes a minute
KEPT_FRAMES = 200  # of the past, for replays
READ_BYTES = 4096


def keys_of(numbers: Iterator[int] | range) -> dict[int, NodeKey]:
    """A key for each node number."""
    return {number: NodeKey(EPOCH, bytes([number % 256] * 16)) for number in numbers}


class Said(NamedTuple):
    """One frame on the air."""

    key: Key
    data: bytes
    frame: int


class Node:
    """One sensor: what it said last and what it waits for."""

    def __init__(self, number: int, key: NodeKey, rng: random.Random) -> None:
        self.number = number
        self._key = key
        self._rng = rng
        self._frame = self._counter = 0
        self._temperature_c, self._humidity_c = 2000, 5000
        self.generation = 0
        self._waiting: deque[Said] = deque()
        self.again_s = 0.0
        self.idle_s = 0.0  # no reading before this instant

    @property
    def pending(self) -> Said | None:
        """What is repeated until it is answered."""
        return self._waiting[0] if self._waiting else None

    def read(self, recorder: Recorder, is_mixed: bool) -> None:
        """Take a reading and make its frame; a mixed one may be below the thresholds, another never is."""
        self._temperature_c += self._rng.randint(-150, 150) if is_mixed else 150
        self._temperature_c = (self._temperature_c + 3000) % 8000 - 3000  # -30 to 50 °C, and round again
        self._humidity_c = max(0, min(10000, self._humidity_c + self._rng.randint(-400, 400)))
        self._frame += self._rng.choice((1, 1, 1, 2))  # a superseded frame leaves a gap
        self._counter += 1
        kind = self._rng.choices((EVENT, HEARTBEAT, BACKFILL), (8, 1, 1))[0]
        uplink = Uplink(
            self.number, self._key.epoch, self._frame, self._counter, self._rng.randint(0, 90), self._temperature_c,
            self._humidity_c, HOLD, kind | self._rng.choice((0, LOW_BATTERY)), self.generation, 100, 0,
        )  # fmt: skip
        key = Key(str(self.number), self._key.epoch, self._counter)
        recorder.note_sent(key, Content(self._temperature_c, self._humidity_c))
        self._waiting.append(Said(key, encode_uplink(uplink, self._key.key), self._frame))
        self.again_s = 0.0

    def overtake(self) -> None:
        """Have the newest frame heard before the one that it follows."""
        self._waiting.rotate(1)

    def receive(self, ack: bytes) -> Key | None:
        """The reading that an acknowledgement settles; None when it is for something else."""
        heard = decode_ack(ack, self.number, self._key.epoch, self._key.key)
        if isinstance(heard, Rejected):
            raise AssertionError(f"the gateway told the radio something wrong: {heard}")  # noqa: TRY004 - it has arrived
        if self.pending is None or heard.frame != self.pending.frame:
            return None
        self.generation = heard.generation & 7
        self.again_s = 0.0
        return self._waiting.popleft().key


class Radio:
    """The radio world of one gateway; as a context manager its thread runs and its port exists.

    Args:
        link: Where the receiver's port appears.
        recorder: Is told everything.
        nodes: How many nodes send load; one more sends what `fresh` asks for.
        rng: Of this radio alone.
    """

    def __init__(self, link: Path, recorder: Recorder, nodes: int, rng: random.Random) -> None:
        self._link = link
        self._recorder = recorder
        self._rng = rng
        self.keys = keys_of(range(1, nodes + 2))
        self._nodes = {number: Node(number, key, rng) for number, key in self.keys.items()}
        self._fresh = self._nodes[nodes + 1]
        self._lock = threading.Lock()
        self._budget = 0
        self._is_trickling = False
        self._is_mixed = True
        self._noise_share = 0.0
        self._past: deque[bytes] = deque(maxlen=KEPT_FRAMES)
        self._reader = Reader()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._stack = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._run, name="radio", daemon=True)

    def __enter__(self) -> "Radio":
        self._port = self._stack.enter_context(pty_port(self._link))
        os.set_blocking(self._port, False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._stack.close()

    def load(self, burst: int, is_mixed: bool = True, noise_share: float = 0.0) -> None:
        """Send `burst` readings as fast as they are answered, then a trickle, until `quiet`.

        Args:
            burst: Readings of all nodes together.
            is_mixed: One in four is below the thresholds, so that the gateway publishes it at QoS 0.
            noise_share: Probability with which a frame is accompanied by damage, a forgery, a replay or a copy.
        """
        with self._lock:
            self._budget, self._is_trickling = burst, True
            self._is_mixed, self._noise_share = is_mixed, noise_share

    def quiet(self) -> None:
        """No new readings; those that wait for their answer are still repeated."""
        with self._lock:
            self._budget, self._is_trickling, self._noise_share = 0, False, 0.0

    def fresh(self) -> Key:
        """Have one more reading sent, by the node that sends nothing else; its identity."""
        with self._lock:
            self._check()
            if self._fresh.pending is None:
                self._fresh.read(self._recorder, is_mixed=False)
            assert self._fresh.pending is not None
            return self._fresh.pending.key

    @property
    def is_idle(self) -> bool:
        """Whether every frame sent has its answer and the burst is over."""
        self._check()
        with self._lock:
            return self._budget == 0 and all(node.pending is None for node in self._nodes.values())

    @property
    def unsent(self) -> int:
        """Readings of the burst that no node has begun."""
        self._check()
        return self._budget

    def _check(self) -> None:
        if self._failure is not None:
            raise AssertionError("the radio failed") from self._failure

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        except BaseException as failure:
            self._failure = failure

    def _turn(self) -> None:
        with self._lock:
            now_s = time.monotonic()
            burst = b"".join(self._due(now_s))
        with contextlib.suppress(BlockingIOError):  # nobody listens and the cable is full: a radio does not wait
            os.write(self._port, burst) if burst else None
        if select.select([self._port], [], [], 0.002)[0]:
            for item in self._reader.feed(os.read(self._port, READ_BYTES)):
                if isinstance(item, Frame) and item.type == DOWNLINK:
                    with self._lock:
                        self._receive(item.content)

    def _due(self, now_s: float) -> Iterator[bytes]:
        for node in self._nodes.values():
            if node.pending is None and node is not self._fresh and now_s >= node.idle_s:
                if self._budget > 0:
                    self._budget -= 1
                    node.read(self._recorder, self._is_mixed)
                    if self._rng.random() < self._noise_share:
                        node.read(self._recorder, self._is_mixed)
                        node.overtake()
                elif self._is_trickling:
                    node.idle_s = now_s + TRICKLE_S * self._rng.uniform(0.5, 1.5)
                    node.read(self._recorder, self._is_mixed)
            if node.pending is not None and now_s >= node.again_s:
                node.again_s = now_s + REPEAT_S
                data = node.pending.data
                yield encode_usb_uplink(-90, 8, data)
                if self._noise_share and self._rng.random() < self._noise_share:
                    yield self._noise(data)
                self._past.append(data)

    def _noise(self, data: bytes) -> bytes:
        """What a bad radio, a bad cable or a bad neighbour adds."""
        spot = self._rng.randrange(len(data))
        flipped = data[:spot] + bytes([data[spot] ^ 1 << self._rng.randrange(8)]) + data[spot + 1 :]
        whole = encode_usb_uplink(-120, -9, data)
        return self._rng.choice(
            (
                encode_usb_uplink(-120, -9, flipped),  # the air changed a bit
                whole[: self._rng.randrange(1, len(whole))],  # the cable lost the end
                self._rng.randbytes(self._rng.randrange(1, 80)),
                b"Received: not a payload\n",
                whole,  # heard twice
                encode_usb_uplink(-60, 9, self._rng.choice(self._past or (data,))),  # a replay
            )
        )

    def _receive(self, content: bytes) -> None:
        node = self._nodes.get(content[1] | content[2] << 8)
        key = None if node is None else node.receive(content)
        if key is not None:
            self._recorder.note_accepted(key)
