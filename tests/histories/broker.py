"""The imitated broker, and connections to it: it may lose whatever it likes, and says nothing of it.

It keeps sessions as Mosquitto does: a QoS 1 message waits for a client that is away, and comes again after a new
connection until it is acknowledged. Faults: it is away, comes back empty, loses and repeats messages, and delivers in
another order what it delivers again.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aoii.broker.client import Message, Published, Subscription
from histories.timeline import Timeline

NO_SUBSCRIBER = 16
QUEUE_LIMIT = 1000  # Mosquitto's max_queued_messages
HOP_MS = (2, 60)
RETRY_MS = (1_000, 60_000)


def _matches(pattern: str, topic: str) -> bool:
    return pattern == topic or (pattern.endswith("/+") and topic.startswith(pattern[:-1]))


@dataclass
class Session:
    """What the broker keeps of one client."""

    subscriptions: dict[str, int] = field(default_factory=dict)
    queue: list[tuple[str, bytes]] = field(default_factory=list)  # QoS 1, for a client that is away
    unacknowledged: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    client: "Connection | None" = None


class Broker:
    """The broker of one history.

    Attributes:
        loss: Share of messages that it loses although it has acknowledged them.
        copies: Share of QoS 1 messages that it delivers twice.
        hop_range_ms: How long a message takes from or to a client, at the least and at the most.
    """

    def __init__(self, timeline: Timeline, chance: random.Random) -> None:
        self.timeline = timeline
        self.chance = chance
        self.loss = self.copies = 0.0
        self.hop_range_ms = HOP_MS
        self.is_up = True
        self._sessions: dict[str, Session] = {}
        self._mid = 0
        self.connections: list[Connection] = []

    def hop_ms(self) -> int:
        return self.chance.randint(*self.hop_range_ms)

    def stop(self) -> None:
        self.is_up = False
        for connection in list(self.connections):
            connection.cut()

    def start(self, is_empty: bool) -> None:
        """Start, or start again."""
        self.stop()
        self.is_up = True
        if is_empty:
            self._sessions.clear()

    def connect(self, connection: "Connection") -> None:
        session = self._sessions.setdefault(connection.client_id, Session())
        if session.client is not None:
            session.client.cut()
        if not connection.is_session_kept:
            session = self._sessions[connection.client_id] = Session()
        session.client = connection
        session.subscriptions = {one.topic: one.qos for one in connection.subscriptions}
        again = [*session.unacknowledged.values(), *session.queue]
        session.unacknowledged.clear()
        session.queue.clear()
        if self.chance.random() < 0.3:
            self.chance.shuffle(again)
        for topic, payload in again:
            self._deliver(session, topic, payload, 1)

    def disconnect(self, connection: "Connection") -> None:
        session = self._sessions.get(connection.client_id)
        if session is not None and session.client is connection:
            session.client = None

    def take(self, topic: str, payload: bytes, qos: int) -> int:
        """Take a message; return the reason code."""
        found = [(one, granted) for one in self._sessions.values() for granted in [self._granted(one, topic)]
                 if granted is not None]  # fmt: skip
        for session, granted in found:
            if self.chance.random() < self.loss:
                continue
            least = min(qos, granted)
            for _ in range(1 + (least == 1 and self.chance.random() < self.copies)):
                self._deliver(session, topic, payload, least)
        return 0 if found else NO_SUBSCRIBER

    def acknowledge(self, connection: "Connection", mid: int) -> None:
        session = self._sessions.get(connection.client_id)
        if session is not None and session.client is connection:
            session.unacknowledged.pop(mid, None)

    def _granted(self, session: Session, topic: str) -> int | None:
        return next((qos for pattern, qos in session.subscriptions.items() if _matches(pattern, topic)), None)

    def _deliver(self, session: Session, topic: str, payload: bytes, qos: int) -> None:
        client = session.client
        if client is None:
            if qos and len(session.queue) < QUEUE_LIMIT:
                session.queue.append((topic, payload))
            return
        self._mid += 1
        message = Message(topic, payload, qos, self._mid, client.connection_number)
        if qos:
            session.unacknowledged[self._mid] = (topic, payload)
        self.timeline.after(self.hop_ms(), lambda: client.receive(message))


class Connection:
    """Takes the place of `aoii.broker.client.Client`: one client of a process.

    Attributes:
        is_cut_off: Whether the network between it and the broker is gone.
    """

    short_connections = 0
    packet_limit_bytes = None
    certificate_expires = None

    def __init__(
        self,
        broker: Broker,
        run: Callable[[Callable[[], None]], None],
        client_id: str,
        subscriptions: Sequence[Subscription] = (),
        on_message: Callable[[Message], None] = lambda _: None,
        on_published: Callable[[Published], None] = lambda _: None,
        on_state: Callable[[bool], None] = lambda _: None,
        session_expiry_s: int = 0,
        manual_ack: bool = False,
        **_: object,
    ) -> None:
        self._broker = broker
        self._run = run  # as the process that this belongs to: it may crash, or be gone
        self.client_id = client_id
        self.subscriptions = subscriptions
        self._on_message, self._on_published, self._on_state = on_message, on_published, on_state
        self.is_session_kept = session_expiry_s > 0
        self._manual_ack = manual_ack
        self.connection_number = 0
        self.is_ready = False
        self.is_cut_off = False
        self._is_over = False
        self._tokens: dict[int, object] = {}
        self._token = 0

    def start(self) -> None:
        self._broker.connections.append(self)
        self._try_later((5, 200))

    def stop(self, timeout_s: float = 0) -> None:
        """The process ends, however: the broker notices."""
        self._is_over = True
        if self in self._broker.connections:
            self._broker.connections.remove(self)
        self.is_ready = False
        self._broker.disconnect(self)

    def reconnect(self) -> None:
        self.cut()

    def cut(self) -> None:
        """The connection ends; it comes back by itself when it can."""
        if not self.is_ready:
            return
        self.is_ready = False
        self._broker.disconnect(self)
        ended, self._tokens = self._tokens, {}

        def tell() -> None:
            for token in ended.values():
                self._on_published(Published(token, None))
            self._on_state(False)

        self._run(tell)
        self._try_later(RETRY_MS)

    def publish(self, topic: str, payload: bytes, qos: int, token: object = None) -> bool:
        if not self.is_ready:
            return False
        number = self.connection_number
        if qos:
            self._token += 1
            self._tokens[self._token] = token
        key = self._token
        wait_ms = self._broker.hop_ms()
        self._broker.timeline.after(wait_ms, lambda: self._arrive(topic, payload, qos, key, number))
        return True

    def acknowledge(self, message: Message) -> bool:
        if not self.is_ready or message.connection_number != self.connection_number:
            return False
        self._broker.acknowledge(self, message.mid)
        return True

    def receive(self, message: Message) -> None:
        if not self.is_ready or message.connection_number != self.connection_number:
            return
        if message.qos and not self._manual_ack:
            self._broker.acknowledge(self, message.mid)
        self._run(lambda: self._on_message(message))

    def _arrive(self, topic: str, payload: bytes, qos: int, key: int, number: int) -> None:
        if not self.is_ready or number != self.connection_number:
            return  # it was on its way when the connection ended
        reason = self._broker.take(topic, payload, qos)
        if qos:
            self._broker.timeline.after(self._broker.hop_ms(), lambda: self._finish(key, reason, number))

    def _finish(self, key: int, reason: int, number: int) -> None:
        if self.is_ready and number == self.connection_number and key in self._tokens:
            token = self._tokens.pop(key)
            self._run(lambda: self._on_published(Published(token, reason)))

    def _try_later(self, wait_ms: tuple[int, int]) -> None:
        self._broker.timeline.after(self._broker.chance.randint(*wait_ms), self._try)

    def _try(self) -> None:
        if self._is_over or self.is_ready:
            return
        if not self._broker.is_up or self.is_cut_off:
            self._try_later(RETRY_MS)
            return
        self.connection_number += 1
        self.is_ready = True
        self._broker.connect(self)
        self._run(lambda: self._on_state(True))
