"""An MQTT connection that is kept up and reports by callbacks; the only file that imports the MQTT library.

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
from aoii.runtime.station import PartThread
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

UNREPORTED = object()  # the token of every QoS 0 publish: the library reports its end, and no owner asks for it


@dataclass(frozen=True)
class Message:
    """A message that arrived; `acknowledge` needs its message id `mid` and the number of its connection."""

    topic: str
    payload: bytes
    qos: int
    mid: int
    connection_number: int


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
        on_refusal: Called in the network thread each time that the broker refuses us, or we refuse its certificate.
        session_expiry_s: Seconds for which the broker keeps the session; 0: it ends with the connection.
        receive_maximum: Limit on unacknowledged QoS 1 messages to us.
        manual_ack: The owner acknowledges each message itself.

    Attributes:
        thread: The network thread; it makes progress every few seconds, even offline.
        connection_number: Number of the present connection; it rises at each connect.
        trouble: Why the latest failed attempt to connect has failed, for doctor; a success does not clear it.
        refusal: Why the broker answers but we are not ready, for doctor and health; None after a success.
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
        self._on_refusal = on_refusal
        self._session_expiry_s = session_expiry_s
        self._receive_maximum = receive_maximum
        self._manual_ack = manual_ack
        self._lock = threading.Lock()  # never held around a call of the library: it has locks of its own
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._library: paho.Client | None = None  # of the present connection; None between connections
        self._is_answered = False  # whether the broker has answered our CONNECT, or refused the TLS connection
        self._end_reason = ""  # why the present connection has ended
        self._tokens: dict[int, object] = {}  # of unfinished publishes, by message id
        self._early: dict[int, int] = {}  # reasons of publishes that ended before `publish` knew the message id
        self.thread = PartThread("network", self._keep_connected)
        self.connection_number = 0
        self.trouble: AoiiError | None = None
        self.refusal: AoiiError | None = None
        self.certificate_expires: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Connected, and every subscription granted at its QoS."""
        return self._ready.is_set()

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
            library.disconnect()

    def publish(self, topic: str, payload: bytes, qos: int, token: object = None) -> bool:
        """Hand a message to the connection; return False when it cannot take it (then nothing is queued).

        After True, a QoS 1 publish always ends with `token` in `on_published`: with the broker's reason code, or with
        None when the connection ended first. A QoS 0 publish has ended when this returns.
        """
        library = self._library
        if library is None or not self._ready.is_set():
            return False
        info = library.publish(self._prefix + topic, payload, qos)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        token = token if qos else UNREPORTED
        with self._lock:
            if library is not self._library:
                return False  # the connection ended meanwhile, and its queue with it
            if info.mid not in self._early:
                self._tokens[info.mid] = token
                return True
            reason = self._early.pop(info.mid)  # it ended before we got here
        self._report(token, reason)
        return True

    def acknowledge(self, message: Message) -> bool:
        """Acknowledge a message; return False when its connection has ended (the broker delivers it again)."""
        with self._lock:
            library = self._library
            if library is None or message.connection_number != self.connection_number:
                return False
        # If the connection ends at this moment, this goes to its own library client, which is dead, and to no other.
        return library.ack(message.mid, message.qos) == paho.MQTT_ERR_SUCCESS

    def _in_namespace(self, item: Subscription) -> Subscription:
        is_about_broker = item.topic.startswith("$SYS/")  # these topics have no namespace
        return item if is_about_broker else Subscription(self._prefix + item.topic, item.qos)

    # From here on all is done in the network thread.

    def _keep_connected(self) -> None:
        delay_s = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            self.thread.record_progress()
            was_ready = self._run_connection()
            delay_s = BACKOFF_FIRST_S if was_ready else min(2 * delay_s, BACKOFF_LAST_S)
            self._stopping.wait(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    def _run_connection(self) -> bool:
        """Keep one connection from CONNECT to its end; return whether it was ever ready."""
        library = self._new_library()
        self.connection_number += 1
        self._is_answered = False
        self._end_reason = "unknown"
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
                self.thread.record_progress()
        except InputError as error:
            self._refused("tls", error)
        except (ConnectionResetError, ssl.SSLEOFError):
            self._hung_up()
        except (OSError, ValueError) as error:
            self.trouble = UnavailableError(str(error))
            if not self._report_tls_failure(str(error)):
                log.debug("broker not reached", extra={"event": "broker_not_reached", "reason": str(error)})
        finally:
            was_ready = self._close()
        return was_ready

    def _new_library(self) -> paho.Client:
        library = paho.Client(
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
        library.on_socket_register_write = lambda _library, _userdata, _socket: None
        return library

    def _close(self) -> bool:
        """Forget the connection that has ended; return whether it was ever ready."""
        was_ready = self._ready.is_set()
        self._ready.clear()
        with self._lock:
            self._library = None
            tokens, self._tokens = list(self._tokens.values()), {}
            self._early.clear()
        for token in tokens:
            self._report(token, None)
        if was_ready:
            level = logging.INFO if self._stopping.is_set() else logging.WARNING
            log.log(level, "broker connection ended", extra={"event": "broker_ended", "reason": self._end_reason})
            self._on_state(False)
        return was_ready

    def _report(self, token: object, reason: int | None) -> None:
        if token is not UNREPORTED:
            self._on_published(Published(token, reason))

    # What goes wrong before a connection is ready.

    def _refused(self, kind: Refusal, refusal: AoiiError) -> None:
        if str(self.refusal) != str(refusal):
            log.error("broker refuses us", extra={"event": "broker_refuses", "kind": kind, "reason": str(refusal)})
        self.refusal = refusal
        self._on_refusal(kind)

    def _report_tls_failure(self, words: str) -> bool:
        """Report a refusal if the text of the library's error is about TLS; return whether it is."""
        peer = f"{self._mqtt.host}:{self._mqtt.port}"
        meaning = None if self._mqtt.tls is None else tls.explain(words, peer, self._mqtt.tls)
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

    # The library's callbacks.

    def _connected(self, library: paho.Client, userdata: object, flags: object, reason: ReasonCode, *_: object) -> None:
        self._is_answered = True
        if reason.is_failure:
            self._refused("login", UnavailableError(f"the broker refused the connection: {reason}"))
            library.disconnect()
            return
        # Before SUBACK: a persistent session delivers at once, and its messages can be acknowledged.
        with self._lock:
            self._library = library
        if self._subscriptions:
            library.subscribe([(item.topic, SubscribeOptions(qos=item.qos)) for item in self._subscriptions])
        else:
            self._granted(library)

    def _subscribed(
        self, library: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], *_: object
    ) -> None:
        short = [
            f"{item.topic} at QoS {item.qos}"
            for item, reason in zip(self._subscriptions, reasons, strict=False)
            if reason.is_failure or reason.value < item.qos
        ]
        if short:
            refusal = UnavailableError(f"the broker did not grant {', '.join(short)}", "check ACL and max_qos")
            self._refused("subscription", refusal)
            library.disconnect()
        else:
            self._granted(library)

    def _granted(self, library: paho.Client) -> None:
        self.refusal = None
        self.certificate_expires = tls.expires_of_peer(library.socket())
        self._ready.set()
        log.info("broker connected", extra={"event": "broker_connected", "generation": self.connection_number})
        self._on_state(True)

    def _received(self, library: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        topic = message.topic.removeprefix(self._prefix)
        self._on_message(Message(topic, bytes(message.payload), message.qos, message.mid, self.connection_number))

    def _finished(self, library: paho.Client, userdata: object, mid: int, reason: ReasonCode, *_: object) -> None:
        with self._lock:
            if mid not in self._tokens:
                self._early[mid] = reason.value
                return
            token = self._tokens.pop(mid)
        self._report(token, reason.value)

    def _disconnected(
        self, library: paho.Client, userdata: object, flags: object, reason: ReasonCode, *_: object
    ) -> None:
        self._end_reason = str(reason)
        if not self._is_answered:
            self._hung_up()

    def _logged(self, library: paho.Client, userdata: object, level: int, words: str) -> None:
        # In TLS 1.3 the broker checks our certificate after the handshake; the library reports a failure only here.
        if level == LogLevel.MQTT_LOG_ERR and not self._is_answered:
            self._is_answered = self._report_tls_failure(words)
