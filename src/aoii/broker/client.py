"""The only file that imports the MQTT library: a connection that is kept up and reports to its owner by callbacks.

Callbacks of the library only hand over; they never wait and never raise (an exception there kills the network thread
while it still looks connected). Each connection is a new library client with a new *generation*. So messages that the
library queued in memory do not survive a reconnect: the outbox is the only queue. And an acknowledgement for an older
connection is dropped, because the broker may have given its message id to another message since.
"""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, LogLevel
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from aoii.core.errors import AoiiError, InputError, UnavailableError
from aoii.security import tls
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

KEEPALIVE_S = 10  # a frozen broker is detected after two of these
CONNECT_TIMEOUT_S = 5.0
STOP_S = CONNECT_TIMEOUT_S + 1  # connecting cannot be interrupted
LOOP_S = 1.0  # how long the idle network thread sleeps; a publish wakes it
BACKOFF_FIRST_S = 0.25
BACKOFF_LAST_S = 5.0
Refusal = Literal["tls", "login", "subscription"]

UNREPORTED = object()  # token of a QoS 0 publish, whose end the library reports too and no caller waits for


@dataclass(frozen=True)
class Message:
    """A message that arrived, with the connection generation that `acknowledge` needs."""

    topic: str
    payload: bytes
    qos: int
    mid: int
    generation: int


@dataclass(frozen=True)
class Published:
    """The end of one publish.

    Attributes:
        token: The token given to `publish`.
        reason: MQTT's reason code: 0 success, 16 success without a subscriber, from 128 on a refusal; None if unknown,
            because the connection ended first.
    """

    token: object
    reason: int | None

    @property
    def accepted(self) -> bool:
        """Whether the broker accepted the message."""
        return self.reason is not None and self.reason < 128


@dataclass(frozen=True)
class Subscription:
    """A topic filter, and the QoS that the broker must grant."""

    topic: str
    qos: int


def _ignore(_: object) -> None:
    """A callback for owners that do not need one."""


class Client:
    """One MQTT 5 connection, kept up with jittered back-off until `stop`.

    Args:
        mqtt: Host, port, TLS, login and namespace; the owner never sees the namespace.
        client_id: Stable for a persistent session.
        subscriptions: Subscribed at every connect; the client is not ready when the broker grants a lower QoS.
        on_message: Called in the network thread with every message; must return at once.
        on_published: Called in the network thread when a publish has ended; must return at once.
        on_state: Called in the network thread with True when connected and subscribed, with False when that has ended.
        on_refusal: Called in the network thread each time that the broker refuses us, or fails our verification.
        session_expiry_s: Seconds for which the broker keeps the session; 0: it ends with the connection.
        receive_maximum: Limit on unacknowledged QoS 1 messages to us.
        manual_ack: The owner acknowledges each message itself.

    Raises:
        InputError: TLS files are missing or not valid.
    """

    def __init__(
        self,
        mqtt: Mqtt,
        client_id: str,
        *,
        subscriptions: Sequence[Subscription] = (),
        on_message: Callable[[Message], None] = _ignore,
        on_published: Callable[[Published], None] = _ignore,
        on_state: Callable[[bool], None] = _ignore,
        on_refusal: Callable[[Refusal], None] = _ignore,
        session_expiry_s: int = 0,
        receive_maximum: int = 500,
        manual_ack: bool = False,
    ) -> None:
        if mqtt.tls is not None:
            tls.context(mqtt.tls)  # raises now, and not in the network thread
        self._mqtt = mqtt
        self._prefix = f"{mqtt.namespace}/" if mqtt.namespace else ""
        self._client_id = f"{mqtt.namespace}-{client_id}" if mqtt.namespace else client_id
        self._subscriptions = tuple(map(self._in_namespace, subscriptions))
        self._on_message = on_message
        self._on_published = on_published
        self._on_state = on_state
        self._on_refusal = on_refusal
        self._session_expiry_s = session_expiry_s
        self._receive_maximum = receive_maximum
        self._manual_ack = manual_ack
        self._lock = threading.Lock()  # never held around a call of the library: it has locks of its own
        self._stopping = threading.Event()
        self._library: paho.Client | None = None  # of the present connection; None between connections
        self._generation = 0
        self._last_progress_s = time.monotonic()
        self._tokens: dict[int, object] = {}  # of unfinished publishes, by message id
        self._early: dict[int, int] = {}  # reasons of publishes that ended before `publish` knew the message id
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._keep_connected, name=f"mqtt-{client_id}", daemon=True)
        self.trouble: AoiiError | None = None  # why the last attempt to connect failed, for doctor
        self.refusal: AoiiError | None = None  # why the broker answers and we are not ready, for doctor and health
        self.certificate_expires: datetime | None = None  # of the broker's certificate at the last connect

    @property
    def is_ready(self) -> bool:
        """Connected, and every subscription granted at its QoS."""
        return self._ready.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether the network thread still runs."""
        return self._thread.is_alive()

    @property
    def last_progress_s(self) -> float:
        """When the network thread last made progress, monotonic seconds; it does so every few seconds, even offline."""
        return self._last_progress_s

    @property
    def generation(self) -> int:
        """Number of the present connection; it rises at each connect."""
        return self._generation

    def start(self) -> None:
        """Begin connecting in the background; the broker need not be up."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until ready; False after `timeout_s`."""
        return self._ready.wait(timeout_s)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Disconnect and wait for the end of the network thread, but no longer than `timeout_s`."""
        self._stopping.set()
        library = self._library
        if library is not None:
            library.disconnect()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def publish(self, topic: str, payload: bytes, qos: int, token: object = None) -> bool:
        """Hand a message to the connection; False when there is none (then nothing is queued).

        A QoS 1 publish always ends with `token` in `on_published`: with the broker's reason code, or with None when the
        connection ended first. A QoS 0 publish has ended when this returns.
        """
        library = self._library
        if library is None or not self._ready.is_set():
            return False
        info = library.publish(self._prefix + topic, payload, qos)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        ticket = token if qos else UNREPORTED
        with self._lock:
            if library is not self._library:
                return False  # the connection ended meanwhile, and its queue with it
            if info.mid not in self._early:
                self._tokens[info.mid] = ticket
                return True
            reason = self._early.pop(info.mid)  # it ended before we got here
        self._report(ticket, reason)
        return True

    def acknowledge(self, message: Message) -> bool:
        """Acknowledge a message; False when its connection has ended (the broker delivers it again)."""
        with self._lock:
            library = self._library
            if library is None or message.generation != self._generation:
                return False
        # If the connection ends here, this goes to its dead client and nowhere else.
        return library.ack(message.mid, message.qos) == paho.MQTT_ERR_SUCCESS

    def reconnect(self) -> None:
        """End the present connection; the network thread makes a new one."""
        library = self._library
        if library is not None:
            library.disconnect()

    def _in_namespace(self, item: Subscription) -> Subscription:
        is_about_broker = item.topic.startswith("$SYS/")  # these topics have no namespace
        return item if is_about_broker else Subscription(self._prefix + item.topic, item.qos)

    def _keep_connected(self) -> None:
        delay_s = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            self._last_progress_s = time.monotonic()
            was_ready = self._run_connection()
            delay_s = BACKOFF_FIRST_S if was_ready else min(2 * delay_s, BACKOFF_LAST_S)
            self._stopping.wait(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    def _run_connection(self) -> bool:
        """One connection from CONNECT to its end; whether it was ever ready."""
        library = self._new_library()
        self._generation += 1
        connection = _Connection(self, library, self._generation)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # the library lacks the annotation
        properties.ReceiveMaximum = self._receive_maximum
        properties.SessionExpiryInterval = self._session_expiry_s
        try:
            if self._mqtt.tls is not None:
                library.tls_set_context(tls.context(self._mqtt.tls))
            library.connect(
                self._mqtt.host,
                self._mqtt.port,
                keepalive=KEEPALIVE_S,
                clean_start=self._session_expiry_s == 0,
                properties=properties,
            )
            while library.loop(LOOP_S) == paho.MQTT_ERR_SUCCESS:
                self._last_progress_s = time.monotonic()
        except InputError as error:
            self._refused("tls", error)
        except (ConnectionResetError, ssl.SSLEOFError):
            self._hung_up()
        except (OSError, ValueError) as error:
            self.trouble = UnavailableError(str(error))
            if not self._is_tls_failure(str(error)):
                log.debug("broker not reached", extra={"event": "broker_not_reached", "reason": str(error)})
        finally:
            connection.end()
        return connection.was_ready

    def _new_library(self) -> paho.Client:
        library = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv5,
            manual_ack=self._manual_ack,
            reconnect_on_failure=False,
        )
        library.connect_timeout = CONNECT_TIMEOUT_S
        library.on_socket_register_write = _write_in_network_thread
        library.max_inflight_messages_set(self._receive_maximum)
        if self._mqtt.username is not None:
            library.username_pw_set(self._mqtt.username, self._mqtt.password)
        return library

    # Reports of a connection, in the network thread.

    def _refused(self, kind: Refusal, error: AoiiError) -> None:
        if str(self.refusal) != str(error):
            log.error("broker refuses us", extra={"event": "broker_refuses", "kind": kind, "reason": str(error)})
        self.refusal = error
        self._on_refusal(kind)

    def _is_tls_failure(self, words: str) -> bool:
        """Whether the text of the library's error is about TLS; if so, report a refusal."""
        peer = f"{self._mqtt.host}:{self._mqtt.port}"
        meaning = None if self._mqtt.tls is None else tls.explained(words, peer, self._mqtt.tls)
        if meaning is not None:
            self._refused("tls", meaning)
        return meaning is not None

    def _hung_up(self) -> None:
        """The peer closed the connection before its first packet."""
        remedy = (
            "make sure that this port speaks TLS" if self._mqtt.tls else "if this is its port for TLS, set MQTT_TLS_CA"
        )
        trouble = UnavailableError("the broker closes the connection without an answer", remedy)
        if str(self.trouble) != str(trouble) and not self._stopping.is_set():
            log.warning("broker hangs up", extra={"event": "broker_hangs_up", "reason": str(trouble)})
        self.trouble = trouble

    def _connected(self, library: paho.Client) -> None:
        # Before SUBACK: a persistent session delivers at once, and its messages can be acknowledged.
        with self._lock:
            self._library = library

    def _granted(self) -> None:
        self.refusal = None
        library = self._library
        self.certificate_expires = None if library is None else tls.expires_of_peer(library.socket())
        self._ready.set()
        log.info("broker connected", extra={"event": "broker_connected", "generation": self._generation})
        self._on_state(True)

    def _closed(self, was_ready: bool, reason: str) -> None:
        self._ready.clear()
        with self._lock:
            self._library = None
            tokens, self._tokens = list(self._tokens.values()), {}
            self._early.clear()
        for token in tokens:
            self._report(token, None)
        if was_ready:
            level = logging.INFO if self._stopping.is_set() else logging.WARNING
            log.log(level, "broker connection ended", extra={"event": "broker_ended", "reason": reason})
            self._on_state(False)

    def _finished(self, mid: int, reason: int) -> None:
        with self._lock:
            if mid not in self._tokens:
                self._early[mid] = reason
                return
            token = self._tokens.pop(mid)
        self._report(token, reason)

    def _report(self, token: object, reason: int | None) -> None:
        if token is not UNREPORTED:
            self._on_published(Published(token, reason))


def _write_in_network_thread(library: paho.Client, userdata: object, socket: object) -> None:
    """Without this callback, `publish` and `ack` write in the caller's thread, and two half-written packets mix."""


class _Connection:
    """The library's callbacks for one connection."""

    def __init__(self, owner: Client, library: paho.Client, generation: int) -> None:
        self._owner = owner
        self._library = library
        self._generation = generation
        self._reason = "connection refused"
        self._is_answered = False
        self.was_ready = False
        self._wanted: dict[int, tuple[Subscription, ...]] = {}
        library.on_connect = self._connected
        library.on_subscribe = self._subscribed
        library.on_message = self._message
        library.on_publish = self._published
        library.on_disconnect = self._disconnected
        library.on_log = self._logged

    def end(self) -> None:
        self._owner._closed(self.was_ready, self._reason)

    def _connected(
        self, library: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        self._is_answered = True
        if reason.is_failure:
            self._refuse("login", UnavailableError(f"the broker refused the connection: {reason}"))
            return
        self._owner._connected(library)
        wanted = self._owner._subscriptions
        if not wanted:
            self._ready()
            return
        result, mid = library.subscribe([(item.topic, SubscribeOptions(qos=item.qos)) for item in wanted])
        if result == paho.MQTT_ERR_SUCCESS and mid is not None:
            self._wanted[mid] = wanted

    def _subscribed(
        self, library: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: object
    ) -> None:
        wanted = self._wanted.pop(mid, ())
        short = [
            item for item, reason in zip(wanted, reasons, strict=False) if reason.is_failure or reason.value < item.qos
        ]
        if short:
            topics = ", ".join(f"{item.topic} at QoS {item.qos}" for item in short)
            error = UnavailableError(f"the broker did not grant {topics}", "check its ACL and max_qos")
            self._refuse("subscription", error)
            return
        self._ready()

    def _ready(self) -> None:
        self.was_ready = True
        self._owner._granted()

    def _refuse(self, kind: Refusal, error: AoiiError) -> None:
        self._owner._refused(kind, error)
        self._reason = str(error)
        self._library.disconnect()

    def _logged(self, library: paho.Client, userdata: object, level: int, words: str) -> None:
        # In TLS 1.3 the broker checks our certificate after the handshake; the library reports a failure only here.
        if level == LogLevel.MQTT_LOG_ERR and not self._is_answered:
            self._is_answered = self._owner._is_tls_failure(words)

    def _message(self, library: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        topic = message.topic.removeprefix(self._owner._prefix)
        self._owner._on_message(Message(topic, bytes(message.payload), message.qos, message.mid, self._generation))

    def _published(
        self, library: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: object
    ) -> None:
        self._owner._finished(mid, reason.value)

    def _disconnected(
        self, library: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        if self.was_ready or self._reason == "connection refused":
            self._reason = str(reason)
        if not self._is_answered:
            self._owner._hung_up()
