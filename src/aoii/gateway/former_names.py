"""Former names: hears the acknowledgements of readings that were accepted before GATEWAY_ID was changed.

A reading names the gateway that accepted it, and never changes; so the server answers under that name. The names are
found in the readings themselves, as these are fetched from the outbox. They are heard on a connection of their own: a
broker that refuses it keeps no other reading waiting, and no session remembers a name that is no longer needed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import ack_topic, decode_sender
from aoii.core.errors import InputError
from aoii.gateway.readings import Item
from aoii.runtime.failure_log import FailureLog
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

NAMES_LIMIT = 50  # that are heard at once; the next one has its turn when one is no longer needed
AGAIN_S = 300.0  # without an acknowledgement: then the connection is made anew
CURE = (
    "readings were accepted under GATEWAY_ID {names}, and the server acknowledges them under that name; until the "
    "outbox is empty, let this gateway's user read {topics} in the broker's ACL, or set GATEWAY_ID back"
)


class FormerNames:
    """The former names under which readings wait, and the connection that hears their acknowledgements.

    Args:
        mqtt: The broker.
        gateway_id: The present name.
        on_message: Called in the connection's thread with each commit acknowledgement; must return at once.
    """

    def __init__(self, mqtt: Mqtt, gateway_id: str, on_message: Callable[[Message], None]) -> None:
        self._mqtt = mqtt
        self._gateway_id = gateway_id
        self._on_message = on_message
        self._lock = threading.Lock()
        self._last_seqs: dict[str, int] = {}  # of the readings seen so far, by the name in them
        self._heard: tuple[str, ...] = ()  # the names to which `_client` subscribes
        self._client: Client | None = None
        self._begun_s = 0.0  # when the connection was begun, the latest time, monotonic
        self._tls = FailureLog(log, "former names cannot be listened for", "former_name_failed", lasts_s=0)
        self._latest_s = 0.0  # when the latest of them came, or the connection was begun, monotonic

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are heard."""
        return self._heard

    def find(self, items: Iterable[Item]) -> None:
        """Look for former names in readings from the outbox file; called in the file's thread."""
        name = self._gateway_id
        for item in items:
            if _field(name) not in item.payload:  # decoding 500 would keep the file's thread busy for 0.1 s
                sender = decode_sender(item.payload)
                if sender is None:
                    continue
                name = sender[0]
            if name != self._gateway_id:
                with self._lock:
                    self._last_seqs[name] = max(item.seq, self._last_seqs.get(name, 0))

    def update(self, oldest_seq: int | None) -> None:
        """Hear the names that were found, and none that is no longer needed; called in the publisher's thread.

        Args:
            oldest_seq: Of the readings in the file; None if there is none.
        """
        with self._lock:
            for name, last_seq in list(self._last_seqs.items()):
                if oldest_seq is None or last_seq < oldest_seq:  # one that was not seen yet brings the name back
                    del self._last_seqs[name]
            names = tuple(self._last_seqs)[:NAMES_LIMIT]
        try:
            if names != self._heard:
                self._listen_for(names)
                self._tls.record_success()
        except InputError as error:  # files may be missing for a moment, as when a certificate is renewed
            self._tls.record_failure(str(error))
        if self._client is not None and time.monotonic() - max(self._begun_s, self._latest_s) >= AGAIN_S:
            self._begun_s = time.monotonic()
            self._client.reconnect()  # a broker that refused the subscription is asked again: its ACL may be mended

    def unheard_s(self) -> float:
        """For how long no acknowledgement has come under a former name; 0 if none is expected."""
        return time.monotonic() - self._latest_s if self._heard else 0.0

    def cure(self) -> str:
        """What keeps acknowledgements away if none comes, and what to do."""
        topics = " and ".join(map(ack_topic, self._heard))
        return CURE.format(names=" and ".join(self._heard), topics=topics)

    def stop(self) -> None:
        """Hear nothing more."""
        self._listen_for(())

    def _listen_for(self, names: tuple[str, ...]) -> None:
        client = self._new_client(names) if names else None  # raises before anything is changed
        if self._client is not None:
            self._client.stop(timeout_s=0)  # its thread ends by itself
        if new := set(names) - set(self._heard):
            fields = {"event": "former_name", "names": sorted(new)}
            log.warning("readings of another GATEWAY_ID wait in the outbox", extra=fields)
        self._heard, self._client = names, client
        if client is not None:
            self._latest_s = self._begun_s = time.monotonic()
            client.start()

    def _new_client(self, names: tuple[str, ...]) -> Client:
        return Client(
            self._mqtt,
            f"aoii-former-{self._gateway_id}",
            subscriptions=[Subscription(ack_topic(name), 1, may_be_refused=True) for name in names],
            on_message=self._receive,
            unique_id="give each gateway a GATEWAY_ID of its own, or stop the other process with this one",
        )

    def _receive(self, message: Message) -> None:
        self._latest_s = time.monotonic()
        self._on_message(message)


def _field(name: str) -> bytes:
    """The name in a payload, as `encode_reading` writes it; a text inside a field has its quotes escaped."""
    return f'"gateway":"{name}"'.encode()
