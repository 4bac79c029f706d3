"""A model of the link between broker and server: everything that can happen to a reading on it, in any order.

Real are the inbox, the ingest, its retries and its circuit, the dead letters' file, and the client's check of the
connection number.
The broker, the connection, the database and the gateway are models of what was measured on real ones: a broker that
numbers messages from 1 again when it has forgotten its sessions, delivers again what was not acknowledged, and hands
over more than was asked for; a database that commits and does not say so.
"""

import itertools
import random
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aoii.broker.client import Client, Message
from aoii.broker.messages import DeliveryStatus, Identity, Reading, decode_commit_ack, encode_reading, payload_digest
from aoii.broker.packet_size import PacketLimit
from aoii.broker.publishes import Publishes
from aoii.core.errors import UnavailableError
from aoii.runtime import failpoints
from aoii.runtime.clock import Clock
from aoii.server import inbox as inbox_module
from aoii.server import ingest, subscription
from aoii.server.batch import Batch, Received
from aoii.server.db import BadRow, Database, DatabaseAway
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.inbox import Inbox
from aoii.server.ingest import Malformed
from aoii.server.ingest_worker import IngestWorker
from server.samples import a_reading
from stateful import model_settings

INBOX = 12  # small, so that it overflows
BATCH = 5
NEVER_FITS_C = 66.0  # °C of readings that the database model refuses for good
HEALING_ROUNDS = 60
SHM = Path("/dev/shm")  # noqa: S108 - a file of the dead letters for each example; its durability is not what is tried
FAULTS = ("reply_lost", "unreachable", "conflict", "read_only")

Durable = tuple[Identity, str]  # with the reading's digest


class Killed(BaseException):
    """SIGKILL, at one of the places where the server can be told to die."""


class Table(Database):
    """A database: rows by unique key, transactions that are whole, and answers that get lost.

    Args:
        has_key: Whether it knows the unique key.
    """

    def __init__(self, has_key: bool) -> None:
        self.rows: list[Durable] = []
        self.faults: list[str] = []
        self.is_away = False
        self._has_key = has_key

    def insert_readings(self, rows: Sequence[Reading]) -> list[DeliveryStatus]:
        fault = self.faults.pop(0) if self.faults else None
        if self.is_away or fault == "unreachable":
            raise DatabaseAway("unreachable", "no answer")
        if fault == "conflict":
            raise DatabaseAway("conflict", "deadlock")
        if fault == "read_only":
            raise DatabaseAway("read_only", "read-only")
        if any(row.actual_t == NEVER_FITS_C for row in rows):
            raise BadRow("out of range")
        failpoints.reach("before_database_commit")
        outcomes: list[DeliveryStatus] = []
        known = dict(self.rows)
        for row in rows:
            assert row.identity is not None
            if self._has_key and row.identity in known:
                outcomes.append("duplicate" if known[row.identity] == row.digest() else "mismatch")
            else:
                known[row.identity] = row.digest()
                self.rows.append((row.identity, row.digest()))
                outcomes.append("stored")
        failpoints.reach("after_database_commit")
        if fault == "reply_lost":
            raise DatabaseAway("unreachable", "lost connection during COMMIT")
        return outcomes


class Letters(DeadLetters):
    """Dead letters that may be full."""

    is_full = False

    def add(self, readings: Sequence[Reading], reason: DeliveryStatus, detail: str) -> None:
        self._refuse()
        super().add(readings, reason, detail)

    def add_malformed_readings(self, payloads: Sequence[tuple[Identity, bytes, str]]) -> None:
        self._refuse()
        super().add_malformed_readings(payloads)

    def _refuse(self) -> None:
        if self.is_full:
            raise UnavailableError("full")


class Connection:
    """In the place of the MQTT library: one connection to the broker model, dead when the broker has another."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def ack(self, mid: int, qos: int) -> int:
        if self._world.connection is self:
            self._world.broker_takes_ack(mid)
        return 0

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> SimpleNamespace:
        if self._world.connection is self:
            self._world.broker_takes_commit_ack(payload)
        return SimpleNamespace(rc=0, mid=0)

    def disconnect(self) -> None:
        self._world.disconnect()


class OneClient(Client):
    """The real client's guard and bookkeeping, on connections that the world makes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._prefix = ""
        self.connection_number = 0
        self._publishes = Publishes(lambda token, reason: None)
        self._packet_limit = PacketLimit()
        self._library: Any = None

    def connected(self, connection: Connection | None) -> None:
        self._library = connection
        if connection is None:
            self._ready.clear()
        else:
            self.connection_number += 1
            self._ready.set()


class Unguarded(OneClient):
    """Acknowledges whatever has the number, whichever connection brought it."""

    def acknowledge(self, message: Message) -> bool:
        return self._library is not None and self._library.ack(message.mid, message.qos) == 0


class Hasty(Batch):
    """Messages that may be acknowledged before they are durable."""

    def __init__(self, received: Iterable[Received]) -> None:
        super().__init__(received)
        self._pending.clear()


class Stepwise(IngestWorker):
    """The ingest without its thread: it works when it is told to, and its pauses pass at once."""

    pauses: Callable[[], bool]

    def _pause(self, seconds: float) -> bool:
        return self.pauses()


class World(RuleBasedStateMachine):
    """Gateway, broker, server, database and dead letters."""

    has_key = True
    new_client: type[OneClient] = OneClient
    new_batch: type[Batch] = Batch

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None)
        self._counter = 0
        self.sent: set[Durable] = set()
        self.by_payload: dict[str, bytes] = {}  # every payload ever published, by its digest
        self.outbox: dict[Identity, bytes] = {}  # of the gateway: accepted, and not acknowledged by the server
        self.queue: list[tuple[bytes, int]] = []  # at the broker, for the server's session: payload and QoS
        self.unacknowledged: dict[int, bytes] = {}  # at the broker: delivered, by message id
        self.connection: Connection | None = None
        self.table = Table(self.has_key)
        self.passes_left: int | None = None  # until the server is killed
        self.is_stopping = False
        self._is_broken = False
        self._pauses = 0
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(failpoints, "reach", self._passes)
        self._patch.setattr(inbox_module, "LINGER_S", 0.0)
        self._start_server()

    def _start_server(self) -> None:
        self.letters = Letters(Path(self._folder.name) / "dead_letters.db", 16)
        self.inbox = Inbox(INBOX)
        self.client = self.new_client()
        self.ingest = Stepwise(
            self.table, self.letters, self.client, self.inbox, max_retries=2, base_delay_s=0.0, clock=Clock()
        )
        self.ingest.pauses = self._waits
        self.passes_left = None
        self.is_stopping = False
        if not self.table.is_away:
            self.the_database_answers_a_probe()  # it waits for that before it connects

    def _passes(self, place: str) -> None:
        if self.passes_left is not None:
            self.passes_left -= 1
            if self.passes_left <= 0:
                raise Killed(place)

    def _waits(self) -> bool:
        self._pauses += 1
        if self._pauses > 3:
            self.letters.is_full = False  # an operator makes room
        return self.is_stopping

    # What is durable, and what the broker and the gateway conclude from what they are told.

    def durable(self) -> set[Durable]:
        """Rows, and letters of readings, each with the reading's digest; and malformed ones with the payload's."""
        found = set(self.table.rows)
        for letter in self.letters.letters(100_000):
            if letter.node is not None and letter.epoch is not None and letter.counter is not None:
                assert letter.digest is not None
                found.add((Identity(letter.node, letter.epoch, letter.counter), letter.digest))
        return found

    def _is_durable(self, payload: bytes) -> bool:
        content = ingest.decode_payload(payload)
        if isinstance(content, Malformed):
            if content.identity is None:
                return any(letter.payload == payload for letter in self.letters.letters(100_000, reason="malformed"))
            return (content.identity, payload_digest(payload)) in self.durable()
        assert isinstance(content, Reading)
        assert content.identity is not None
        return (content.identity, content.digest()) in self.durable()

    def _must(self, truth: bool, said: str) -> None:
        """Fail unless it is true, and remember that: healing a world that is broken would fail with other words."""
        self._is_broken = self._is_broken or not truth
        assert truth, said

    def broker_takes_ack(self, mid: int) -> None:
        """PUBACK of the server: the broker forgets the message, so it must be safe."""
        payload = self.unacknowledged.pop(mid, None)
        is_safe = payload is None or self._is_durable(payload)
        self._must(is_safe, "the server acknowledged what it does not have")

    def broker_takes_commit_ack(self, payload: bytes) -> None:
        """The gateway forgets what is named, so that must be safe."""
        for item in decode_commit_ack(payload):
            assert item.digest is not None
            is_safe = self._is_durable(self.by_payload[item.digest])
            self._must(is_safe, "the gateway was told that a reading is safe, and it is not")
            mine = self.outbox.get(item.identity)
            if not self.loses_acks and mine is not None and payload_digest(mine) == item.digest:
                del self.outbox[item.identity]

    loses_acks = False

    # The gateway.

    def _publish(self, payload: bytes, qos: int) -> None:
        self.by_payload[payload_digest(payload)] = payload
        content = ingest.decode_payload(payload)
        if isinstance(content, Reading):
            assert content.identity is not None
            self.sent.add((content.identity, content.digest()))
        elif isinstance(content, Malformed) and content.identity is not None:
            self.sent.add((content.identity, payload_digest(payload)))
        self.queue.append((payload, qos))

    @rule(
        count=st.integers(1, 8),
        qos=st.sampled_from([1, 1, 1, 0]),
        fits=st.sampled_from([True, True, True, False]),
        batches=st.sampled_from([None, 0, 1, 2]),
    )
    def the_gateway_accepts_and_publishes(self, count: int, qos: int, fits: bool, batches: int | None) -> None:
        """Readings, which may be delivered at once and worked at."""
        for _ in range(count):
            self._counter += 1
            temperature = self._counter % 50 if fits else NEVER_FITS_C
            payload = encode_reading(a_reading(self._counter, actual_t=float(temperature)), qos)
            self.outbox[Identity("7", 1, self._counter)] = payload
            self._publish(payload, qos)
        if batches is not None:
            self.the_broker_delivers(len(self.queue), batches)

    @rule(chance=st.randoms(use_true_random=False))
    def the_gateway_publishes_some_again(self, chance: random.Random) -> None:
        for payload in chance.sample(sorted(self.outbox.values()), chance.randrange(len(self.outbox) + 1)):
            self._publish(payload, 1)

    @rule(is_known=st.booleans(), kind=st.sampled_from(["noise", "unreadable", "lie"]))
    def a_stranger_publishes_what_should_not_be(self, is_known: bool, kind: str) -> None:
        counter = max(1, self._counter) if is_known else 10**6 + self._counter
        payload = encode_reading(a_reading(counter, actual_t=44.5), 1)
        if kind == "noise":
            payload = b"noise %d" % self._counter
        elif kind == "unreadable":
            payload = payload.replace(b"44.5", b"NaN")
        self._publish(payload, 1)

    # The broker and the connection.

    @initialize()
    def everything_is_up(self) -> None:
        self.connects(chance=random.Random(0), is_shuffled=False)

    @rule(chance=st.randoms(use_true_random=False), is_shuffled=st.booleans())
    def connects(self, chance: random.Random, is_shuffled: bool) -> None:
        """A connection, after whatever was before; the broker delivers again what was not acknowledged."""
        self.disconnect()
        self.connection = Connection(self)
        self.client.connected(self.connection)
        again = sorted(self.unacknowledged.items())
        if is_shuffled:
            chance.shuffle(again)
        for mid, payload in again:
            self._hand_over(payload, 1, mid)

    @rule()
    def disconnect(self) -> None:
        self.connection = None
        self.client.connected(None)

    @rule()
    def the_broker_is_killed_and_forgets(self) -> None:
        self.the_session_expires()
        self.connects(random.Random(0), is_shuffled=False)

    @rule()
    def the_session_expires(self) -> None:
        """Message ids begin at 1 again."""
        self.disconnect()
        self.queue.clear()
        self.unacknowledged.clear()

    @rule(count=st.integers(1, 2 * INBOX), batches=st.integers(0, 2))
    def the_broker_delivers(self, count: int, batches: int) -> None:
        if self.connection is None:
            return
        for payload, qos in self.queue[:count]:
            mid = next(number for number in itertools.count(1) if number not in self.unacknowledged) if qos else 0
            if qos:
                self.unacknowledged[mid] = payload
            self._hand_over(payload, qos, mid)
        del self.queue[:count]
        self.the_server_works(batches, None, loses_acks=False)

    def _hand_over(self, payload: bytes, qos: int, mid: int) -> None:
        self.inbox.put(Message("aoii/readings", payload, qos, mid, self.client.connection_number))

    # The server.

    @rule(batches=st.integers(1, 3), dies_after=st.none() | st.integers(1, 25), loses_acks=st.booleans())
    def the_server_works(self, batches: int, dies_after: int | None, loses_acks: bool) -> None:
        """Some batches, unless it is killed at that pass of a place; the broker may lose what it tells the gateway."""
        self.passes_left, self.loses_acks = dies_after, loses_acks
        try:
            for _ in range(batches):
                self._work()
        except Killed:
            self._server_ends()
        self.passes_left, self.loses_acks = None, False

    def _work(self) -> None:
        self._pauses = 0
        batch = self.inbox.take(BATCH, 0)
        if batch:
            received = [Received(message, subscription.decode_and_count(message)) for message in batch]
            self.ingest._handle(self.new_batch(received))
        self.ingest._replay_batch()
        subscription.reconnect_after_overrun(self.inbox, self.client)

    @rule(is_asked=st.booleans())
    def the_server_is_killed_or_asked_to_stop_in_a_batch(self, is_asked: bool) -> None:
        if is_asked:
            self.is_stopping = True
            self.the_server_works(1, None, loses_acks=False)
        self._server_ends()

    def _server_ends(self) -> None:
        self.disconnect()
        self.letters.close()
        self._start_server()

    # The database and the dead letters.

    @rule(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=8))
    def the_database_fails(self, faults: list[str]) -> None:
        self.table.faults += faults

    @rule()
    def the_database_goes(self) -> None:
        self.table.is_away = True

    @rule()
    def the_database_comes(self) -> None:
        self.table.is_away = False
        self.the_database_answers_a_probe()

    @rule()
    def the_database_answers_a_probe(self) -> None:
        """The answer of one that is away by now may be late."""
        self.ingest._answered.set()

    @rule(is_full=st.booleans())
    def the_dead_letters_fill_up_or_have_room(self, is_full: bool) -> None:
        self.letters.is_full = is_full

    # What must hold.

    @invariant()
    def nothing_is_there_that_was_not_sent_and_nothing_twice(self) -> None:
        self._must(self.durable() <= self.sent, "spurious")
        identities = [identity for identity, _ in self.table.rows]
        self._must(len(identities) == len(set(identities)), "twice in the table")

    def teardown(self) -> None:
        """Heal everything: then all that was accepted arrives, and is told to the gateway."""
        try:
            if not self._is_broken:
                self._heal()
        finally:
            self._patch.undo()
            self.letters.close()
            self._folder.cleanup()

    def _heal(self) -> None:
        accepted = {Identity("7", 1, counter) for counter in range(1, self._counter + 1)}
        self.table.faults.clear()
        self.table.is_away = self.letters.is_full = False
        for _ in range(HEALING_ROUNDS):
            self.the_database_answers_a_probe()
            if self.connection is None:
                self.connects(random.Random(0), is_shuffled=False)
            if not self.queue and not self.unacknowledged:
                for payload in self.outbox.values():
                    self._publish(payload, 1)
            self.the_broker_delivers(INBOX, 4)
            if not self.outbox and not self.unacknowledged and not self.queue and not self.letters.waiting(1):
                break
        assert not self.outbox, "the gateway was never told"
        assert not self.unacknowledged, "a message was never acknowledged"
        assert not self.letters.waiting(1), "what became a dead letter while the database was away was not replayed"
        letters = {identity for identity, _ in self.durable() - set(self.table.rows)}
        assert accepted <= {identity for identity, _ in self.table.rows} | letters, "missing"
        self.nothing_is_there_that_was_not_sent_and_nothing_twice()
        twice = set(self.table.rows) & {
            (Identity(letter.node or "", letter.epoch or 0, letter.counter or 0), letter.digest or "")
            for letter in self.letters.letters(100_000)
        }
        assert not twice, "in the table and in the dead letters"


TestLink = World.TestCase
TestLink.settings = model_settings(40)


class WithoutGuard(World):
    new_client = Unguarded


class WithoutKey(World):
    has_key = False


class WithHaste(World):
    new_batch = Hasty


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (WithoutGuard, "the server acknowledged what it does not have"),
        (WithoutKey, "twice in the table"),
        (WithHaste, "the server acknowledged what it does not have"),
    ],
)
def test_the_model_finds_a_server_without_a_guard(broken: type[World], said: str) -> None:
    found = settings(
        model_settings(40),
        max_examples=2000,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        print_blob=False,
    )

    with pytest.raises(BaseException, match=said):  # one failure, or a group of several
        run_state_machine_as_test(broken, settings=found)
