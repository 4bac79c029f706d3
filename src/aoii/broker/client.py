"""An MQTT connection that is kept up and reports by callbacks.

Only this file and its `network_loop` import the MQTT library.

Callbacks of the library only hand over; they never wait and never raise: an exception there kills the network thread,
while the client still looks connected. Each connection is a new library client with a new *connection number*. So
messages that the library queued in memory do not survive a reconnect: the outbox is the only queue. And an
acknowledgement for an older connection is dropped, because the broker may have given its message id to another message
since.
"""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, LogLevel
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from aoii.broker.connection_report import ConnectionReport, Refusal
from aoii.broker.network_loop import Library, NetworkLoop
from aoii.broker.packet_size import PacketLimit, PacketTooLargeError, publish_bytes
from aoii.broker.publishes import Publishes
from aoii.broker.reconnection import LASTED_S, TOO_LARGE, UNREADABLE, Reconnection
from aoii.core.errors import AoiiError, InputError, UnavailableError
from aoii.runtime.failure_log import FailureLog
from aoii.runtime.station import PartThread
from aoii.security import tls
from aoii.settings import Mqtt

log = logging.getLogger(__name__)

KEEPALIVE_S = 10  # a frozen broker is detected after two of these
CONNECT_TIMEOUT_S = 5.0
STOP_S = CONNECT_TIMEOUT_S + 1  # connecting cannot be interrupted
LOOP_S = 1.0  # how long the idle network thread sleeps; a publish wakes it
PROTOCOL_ERROR = 130  # the library's reason when it cannot decode a packet
KEEPALIVE_TIMEOUT = 141  # the library's reason when nothing has come for KEEPALIVE_S
REFUSED = 128  # reason codes from here on are refusals
NO_KEPT_MESSAGES = 2  # retain handling, MQTT 5, 3.8.3.1
UNREPORTED = object()  # the token of every QoS 0 publish: the library reports its end, and no owner asks for it


@dataclass(frozen=True)
class Message:
    """A message that arrived; `acknowledge` needs its message id `mid` and the number of its connection."""

    topic: str
    payload: bytes
    qos: int
    mid: int
    connection_number: int
    is_kept: bool = False  # retained: published some time ago, and sent because we have subscribed


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
        return self.reason is not None and self.reason < REFUSED


@dataclass(frozen=True)
class Subscription:
    """A topic filter, and the QoS that the broker must grant.

    With `wants_kept`, the broker also sends the messages that it has retained. Brokers may send them nevertheless. One
    that `may_be_refused` keeps the client from being ready in no case.
    """

    topic: str
    qos: int
    wants_kept: bool = False
    may_be_refused: bool = False


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
        on_refusal: Called in the network thread each time that the broker refuses us, or we refuse its certificate.
        session_expiry_s: Seconds for which the broker keeps the session; 0: it ends with the connection.
        receive_maximum: Limit on unacknowledged QoS 1 messages to us.
        manual_ack: The owner acknowledges each message itself.
        unique_id: What to do when another client has the same id.

    Attributes:
        thread: The network thread; it makes progress every few seconds, even offline.
        connection_number: Number of the present connection; it rises at each connect.
        certificate_expires: End of the broker's certificate, as of the last connect; None without TLS.

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
        unique_id: str = "stop the other one",
    ) -> None:
        if mqtt.tls is not None:
            tls.context(mqtt.tls)  # raises now, and not in the network thread
        self._mqtt = mqtt
        self._prefix = f"{mqtt.namespace}/" if mqtt.namespace else ""
        self._client_id = f"{mqtt.namespace}-{client_id}" if mqtt.namespace else client_id
        self._subscriptions = [self._in_namespace(item) for item in subscriptions]
        self._on_message = on_message
        self._on_published = on_published
        self._on_state = on_state
        self._session_expiry_s = session_expiry_s
        self._receive_maximum = receive_maximum
        self._manual_ack = manual_ack
        self._lock = threading.Lock()  # never held around a call of the library: it has locks of its own
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._library: paho.Client | None = None  # of the present connection; None between connections
        self._can_keep = True  # whether the broker retains messages; if not, it ends a connection that asks for it
        self._is_answered = False  # whether the broker has answered our CONNECT, or refused the TLS connection
        self._is_ended_by_us = False
        self._end: tuple[int | None, str] = None, "unknown"  # of the connection: the broker's reason, also in words
        self._ready_s = 0.0  # when the present connection became ready, monotonic
        self._publishes = Publishes(self._report_published)
        self._packet_limit = PacketLimit()
        self._reconnection = Reconnection(self._client_id, unique_id)
        self._report = ConnectionReport(mqtt, self._client_id, on_refusal)
        self._too_large = FailureLog(log, "message too large for the broker, not sent", "too_large", lasts_s=0)
        self.thread = PartThread("network", self._keep_connected)
        self.connection_number = 0
        self.certificate_expires: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Connected, and every subscription granted at its QoS."""
        return self._ready.is_set()

    @property
    def trouble(self) -> AoiiError | None:
        """Why the latest failed attempt has failed, or the latest connection ended, for doctor; never cleared."""
        return self._report.trouble

    @property
    def refusal(self) -> AoiiError | None:
        """Why the broker answers but we are not ready, for doctor and health; None after a success."""
        return self._report.refusal

    @property
    def short_connections(self) -> int:
        """Connections in a row that the broker ended soon; 0 once one has lasted."""
        has_lasted = self.is_ready and time.monotonic() - self._ready_s >= LASTED_S
        return 0 if has_lasted else self._reconnection.short

    @property
    def packet_limit_bytes(self) -> int | None:
        """The largest packet that the broker takes, as far as it is known."""
        return self._packet_limit.bytes(time.monotonic())

    def start(self) -> None:
        """Begin connecting in the background; the broker need not be up."""
        self.thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until ready; False after `timeout_s`."""
        return self._ready.wait(timeout_s)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Disconnect and wait for the end of the network thread, but no longer than `timeout_s`."""
        self._stopping.set()
        self.reconnect()
        self.thread.join(timeout_s)

    def reconnect(self) -> None:
        """End the present connection; the network thread makes a new one."""
        library = self._library
        if library is not None:
            self._is_ended_by_us = True
            library.disconnect()

    def publish(self, topic: str, payload: bytes, qos: int, token: object = None, *, keep: bool = False) -> bool:
        """Hand a message to the connection; return False when it cannot take it (then nothing is queued).

        With `keep` the broker retains it for those that subscribe later, unless it retains nothing.

        After True, a QoS 1 publish always ends with `token` in `on_published`: with the broker's reason code, or with
        None when the connection ended first. A QoS 0 publish has ended when this returns.

        Raises:
            PacketTooLargeError: The packet exceeds the broker's limit; nothing was sent, and the connection goes on.
        """
        with self._lock:
            library, publishes = self._library, self._publishes
        if library is None or not self._ready.is_set():
            return False
        topic = self._prefix + topic
        size = publish_bytes(topic, len(payload), qos)
        self._refuse_too_large(topic, size)
        info = library.publish(topic, payload, qos, retain=keep and self._can_keep)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        return publishes.add(info.mid, token if qos else UNREPORTED, size if qos else 0)

    def acknowledge(self, message: Message) -> bool:
        """Acknowledge a message; return False when its connection has ended (the broker delivers it again)."""
        with self._lock:
            library = self._library
            if library is None or message.connection_number != self.connection_number:
                return False
        # If the connection ends at this moment, this goes to its own library client, which is dead, and to no other.
        return library.ack(message.mid, message.qos) == paho.MQTT_ERR_SUCCESS

    def _refuse_too_large(self, topic: str, size: int) -> None:
        """Raise `PacketTooLargeError` if a PUBLISH of this size exceeds the broker's limit."""
        limit = self.packet_limit_bytes
        if limit is None or size <= limit:
            return
        remedy = "raise the broker's limit (max_packet_size, message_size_limit of Mosquitto)"
        error = PacketTooLargeError(f"the broker takes packets of {limit} bytes on {topic}", remedy)
        self._too_large.record_failure(str(error), bytes=size)
        raise error

    def _in_namespace(self, item: Subscription) -> Subscription:
        is_about_broker = item.topic.startswith("$SYS/")  # these topics have no namespace
        return item if is_about_broker else replace(item, topic=self._prefix + item.topic)

    # From here on all is done in the network thread.

    def _keep_connected(self) -> None:
        while not self._stopping.is_set():
            self.thread.record_progress()
            wait_s = self._run_connection()
            self._stopping.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    def _run_connection(self) -> float:
        """Keep one connection from CONNECT to its end; return how long to wait before the next, seconds."""
        loop = NetworkLoop()
        library = self._new_library(loop)
        self.connection_number += 1
        self._is_answered = self._is_ended_by_us = False
        self._end = None, "unknown"
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
            while loop.turn(library, LOOP_S):
                self.thread.record_progress()
                if self.is_ready and not self.short_connections:
                    self._report.stable()
        except InputError as error:
            self._report.refused("tls", error)
        except (ConnectionResetError, ssl.SSLEOFError):
            if not self._stopping.is_set():
                self._report.hung_up()
        except (OSError, ValueError) as error:
            self._report.away(error)
        finally:
            loop.close()
            wait_s = self._close()
        return wait_s

    def _new_library(self, loop: NetworkLoop) -> Library:
        library = Library(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv5,
            manual_ack=self._manual_ack,
            reconnect_on_failure=False,
        )
        library.connect_timeout = CONNECT_TIMEOUT_S
        library.max_inflight_messages_set(self._receive_maximum)
        if self._mqtt.username is not None:
            library.username_pw_set(self._mqtt.username, self._mqtt.password)
        library.on_connect = self._connected
        library.on_subscribe = self._subscribed
        library.on_message = self._received
        library.on_publish = self._finished
        library.on_disconnect = self._disconnected
        library.on_log = self._logged
        # Without this callback, `publish` and `ack` write in the caller's thread, and two half-written packets mix.
        library.on_socket_register_write = lambda _library, _userdata, _socket: loop.wake()
        return library

    def _close(self) -> float:
        """Forget the connection that has ended; return how long to wait before the next one, seconds."""
        was_ready = self._ready.is_set()
        self._ready.clear()
        with self._lock:
            self._library = None
        oldest_bytes = self._publishes.close()
        if not was_ready:
            return self._reconnection.wait_after_failure(self._is_answered)
        code, words = self._end
        if code in (TOO_LARGE, UNREADABLE) and oldest_bytes is not None:
            code = TOO_LARGE  # Mosquitto refuses a message over its `message_size_limit` with an unreadable PUBACK
            self._packet_limit.learn(oldest_bytes, time.monotonic())
        wait_s = self._reconnection.wait_after_end(time.monotonic() - self._ready_s, self._is_ended_by_us)
        cause = None if self._is_ended_by_us else self._reconnection.cause(code, words)
        level = logging.INFO if self._stopping.is_set() else logging.WARNING
        self._report.ended(words, cause, self._reconnection.short <= 1, level)
        self._on_state(False)
        return wait_s

    def _report_published(self, token: object, reason: int | None) -> None:
        if token is not UNREPORTED:
            self._on_published(Published(token, reason))

    # The library's callbacks.

    def _connected(
        self, library: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._is_answered = True
        library.on_log = None  # with it, the library formats a line for every packet
        if reason.is_failure:
            self._report.refused("login", UnavailableError(f"the broker refused the connection: {reason}"))
            library.disconnect()
            return
        self._packet_limit.announce(getattr(properties, "MaximumPacketSize", None))
        self._can_keep = getattr(properties, "RetainAvailable", 1) == 1  # MQTT 5, 3.2.2.3.5
        # Before SUBACK: a persistent session delivers at once, and its messages can be acknowledged.
        with self._lock:
            self._library, self._publishes = library, Publishes(self._report_published)
        if self._stopping.is_set():  # `stop` came before this connection could be ended
            self.reconnect()
        elif self._subscriptions:
            library.subscribe([(item.topic, _options(item)) for item in self._subscriptions])
        else:
            self._granted(library)

    def _subscribed(
        self, library: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], *_: object
    ) -> None:
        short = [
            f"{item.topic} at QoS {item.qos}"
            for item, reason in zip(self._subscriptions, reasons, strict=False)
            if (reason.is_failure or reason.value < item.qos) and not item.may_be_refused
        ]
        if short:
            refusal = UnavailableError(f"the broker did not grant {', '.join(short)}", "check ACL and max_qos")
            self._report.refused("subscription", refusal)
            library.disconnect()
        else:
            self._granted(library)

    def _granted(self, library: paho.Client) -> None:
        self._report.ready()
        self._ready_s = time.monotonic()
        if isinstance(library, Library):  # always: we have made it
            self.certificate_expires = tls.expires_of_peer(library.connection.connection)
        self._ready.set()
        log.info("broker connected", extra={"event": "broker_connected", "generation": self.connection_number})
        self._on_state(True)

    def _received(self, library: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        topic = message.topic.removeprefix(self._prefix)
        self._on_message(
            Message(
                topic, bytes(message.payload), message.qos, message.mid, self.connection_number, bool(message.retain)
            )
        )

    def _finished(self, library: paho.Client, userdata: object, mid: int, reason: ReasonCode, *_: object) -> None:
        self._publishes.finish(mid, reason.value)

    def _disconnected(
        self, library: paho.Client, userdata: object, flags: paho.DisconnectFlags, reason: ReasonCode, *_: object
    ) -> None:
        is_unreadable = reason.value == PROTOCOL_ERROR and not flags.is_disconnect_packet_from_server
        code = UNREADABLE if is_unreadable else reason.value if flags.is_disconnect_packet_from_server else None
        self._end = code, str(reason)
        if self._is_answered or self._stopping.is_set():
            return
        if reason.value == KEEPALIVE_TIMEOUT:
            self._report.away(
                TimeoutError("something listens there and does not answer; is it the broker, and frozen?")
            )
        else:
            self._report.hung_up()

    def _logged(self, library: paho.Client, userdata: object, level: int, words: str) -> None:
        # In TLS 1.3 the broker checks our certificate after the handshake; the library reports a failure only here,
        # before CONNACK.
        if level == LogLevel.MQTT_LOG_ERR and not self._is_answered:
            self._is_answered = self._report.tls_failed(words)


def _options(item: Subscription) -> SubscribeOptions:
    if item.wants_kept:
        return SubscribeOptions(qos=item.qos)
    return SubscribeOptions(qos=item.qos, retainHandling=NO_KEPT_MESSAGES)
