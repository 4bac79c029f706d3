"""Lines of old-firmware nodes to events, and the forecast of such a node.

The receiver prints `Received: <payload>`; a payload is `<edge_ms>,<t>,<h>` or `<t>,<h>`, and `0.0,0.0` asks for the
time. Nothing in it says who sent it, so a port is a node, and its readings are counted here. With the operators'
weights the forecast is the mirrored MLP, stepped by the node's own clock once a minute; without them it is the last
reading. Pure; it refuses readings that no sensor gives, because nothing that the server would refuse may be accepted.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from aoii.broker.messages import Identity
from aoii.gateway.events import Event, Instant, since_ms
from aoii.gateway.legacy.mirror import Mirror, ModelError, Weights

PREFIX = "Received:"
CHATTER = re.compile(r"Sync sent:.*|-+\s*")  # what the old receiver prints besides
TIME_REQUEST = "0.0,0.0"
NUMBER = re.compile(r"-?\d{1,4}(\.\d{1,6})?", re.ASCII)
EDGE_MS = re.compile(r"\d{1,10}", re.ASCII)
NO_NUMBER = re.compile(r"[-+]?(nan|inf|infinity|ovf)", re.IGNORECASE)  # what a failed sensor becomes when it is printed

MINUTE_MS = 60_000  # the old firmware's sampling period; it is no setting there
TICKS = 1 << 32  # edge_ms wraps
DELAY_LIMIT_MS = 600_000  # a larger delay is a clock that was never set
DISAGREEMENT_LIMIT_MS = 3_600_000  # between the node's clock and ours, over one gap; beyond it the node's was set anew
STEPS_LIMIT = 1440  # a day; the window forgets in four, and a step costs 0.1 ms of the 0.9 s in which the reply is due
TEMPERATURE_RANGE = (-100.0, 200.0)
HUMIDITY_RANGE = (-10.0, 110.0)
NAME_LIMIT = 128  # of a node's name in messages and tables


@dataclass(frozen=True)
class Payload:
    """A reading, °C and %RH, with the node's clock (Unix or uptime milliseconds modulo 2**32) if it sends one."""

    temperature: float
    humidity: float
    edge_ms: int | None


@dataclass(frozen=True)
class TimeRequest:
    """The node asks for the time and says nothing else."""


@dataclass(frozen=True)
class Refused:
    """A line that says nothing. `reason`: noise, payload (not the two or three numbers), or range."""

    reason: str


@dataclass(frozen=True)
class OldState:
    """What the gateway keeps of an old node, durably.

    Attributes:
        epoch: Of the outbox file in which `counter` counts.
        counter: Number of the next reading.
        temperature, humidity: The last reading, °C and %RH.
        edge_ms: The node's clock at it; None if it sends none.
        elapsed_ms, session: When it was sampled on the gateway's elapsed clock.
        unix_ms, is_synced: The same on the wall clock, and whether that was believed.
        fingerprint: Of the weights that `mirror` began from; empty without.
        mirror: The mirrored model; None without weights.
    """

    epoch: int
    counter: int
    temperature: float
    humidity: float
    edge_ms: int | None
    elapsed_ms: int
    session: int
    unix_ms: int
    is_synced: bool
    fingerprint: str
    mirror: Mirror | None


@dataclass(frozen=True)
class Heard:
    """A reading to be committed with the state after it; `diverged`: the model had to begin anew."""

    event: Event
    state: OldState
    diverged: bool


def node_name(gateway_id: str, path: str) -> str:
    """The name of the old node on a port, `<gateway>/<port>`; a port's path that is too long is cut, with a digest."""
    port = path.removeprefix("/dev/").lstrip("/")
    room = NAME_LIMIT - len(gateway_id) - 1
    if len(port) > room:
        digest = hashlib.sha256(path.encode()).hexdigest()[:8]
        port = f"{digest}~{port[-(room - len(digest) - 1) :]}"
    return f"{gateway_id}/{port}"


def read(line: str) -> Payload | TimeRequest | Refused | None:
    """What a line of the receiver says; None for what it always prints besides."""
    if not line.startswith(PREFIX):
        return None if CHATTER.fullmatch(line) else Refused("noise")
    text = line.removeprefix(PREFIX).strip()
    if text == TIME_REQUEST or text.endswith("," + TIME_REQUEST):  # readings have two decimals, so this is none
        return TimeRequest()
    fields = [field.strip() for field in text.split(",")]
    edge = fields.pop(0) if len(fields) == 3 else None
    if len(fields) != 2 or (edge is not None and not EDGE_MS.fullmatch(edge)):
        return Refused("payload")
    if not all(NUMBER.fullmatch(field) for field in fields):
        return Refused("range" if any(NO_NUMBER.fullmatch(field) for field in fields) else "payload")
    temperature, humidity = float(fields[0]), float(fields[1])
    edge_ms = None if edge is None else int(edge)
    if not (
        TEMPERATURE_RANGE[0] <= temperature <= TEMPERATURE_RANGE[1]
        and HUMIDITY_RANGE[0] <= humidity <= HUMIDITY_RANGE[1]
        and (edge_ms is None or edge_ms < TICKS)
    ):
        return Refused("range")
    return Payload(temperature, humidity, edge_ms)


def hear(
    state: OldState | None,
    payload: Payload,
    node: str,
    epoch: int,
    weights: Weights | None,
    day_fraction: Callable[[int], float],
    at: Instant,
) -> Heard:
    """Take a reading.

    Args:
        state: What was kept of this node; None for one that was never heard.
        payload: The reading.
        node: The node's name.
        epoch: Of the outbox file.
        weights: The operators' weights; None without.
        day_fraction: Local time of day, 0..1, at a Unix millisecond.
        at: When the line was read.
    """
    delay_ms = None if payload.edge_ms is None else transmission_delay_ms(at.unix_ms, payload.edge_ms)
    unix_ms = max(0, at.unix_ms - (delay_ms or 0))
    believed = None if state is None else (state.temperature, state.humidity)
    mirror, diverged = None, False
    if weights is not None:
        mirror = begun(state, weights)
        steps = 1 if state is None else _steps(state, payload, at)
        try:
            for ahead in range(steps - 1, 0, -1):
                mirror = mirror.step(day_fraction(unix_ms - ahead * MINUTE_MS))
            believed, mirror = mirror.learn(payload.temperature, payload.humidity, day_fraction(unix_ms))
        except ModelError:
            mirror, diverged = Mirror.begin(weights), True
    counter = state.counter if state is not None and state.epoch == epoch else 0
    event = Event(
        Identity(node, epoch, counter),
        "legacy",
        payload.temperature,
        payload.humidity,
        believed,
        unix_ms,
        at.is_synced,
        delay_ms,
        max(0, delay_ms or 0) if at.is_synced else 0,
    )
    after = OldState(
        epoch,
        counter + 1,
        payload.temperature,
        payload.humidity,
        payload.edge_ms,
        at.elapsed_ms - (at.unix_ms - unix_ms),
        at.session,
        unix_ms,
        at.is_synced,
        weights.fingerprint if weights is not None else "",
        mirror,
    )
    return Heard(event, after, diverged)


def transmission_delay_ms(unix_ms: int, edge_ms: int) -> int | None:
    """Gateway clock minus node clock, the signed difference modulo 2**32; None when it is no delay."""
    delay_ms = (unix_ms - edge_ms + TICKS // 2) % TICKS - TICKS // 2
    return delay_ms if abs(delay_ms) <= DELAY_LIMIT_MS else None


def begun(state: OldState | None, weights: Weights) -> Mirror:
    """The node's mirror, or a new one when there is none that began from these weights."""
    if state is None or state.mirror is None or state.fingerprint != weights.fingerprint:
        return Mirror.begin(weights)
    return state.mirror


class OldNodeEstimate:
    """What the gateway believes of an old node as time goes on after its last reading; remembers how far it looked."""

    def __init__(self, state: OldState) -> None:
        self.state = state
        self._mirror = state.mirror
        self._steps = 1  # the next prediction is for this many samples after the reading

    def at(self, at: Instant, day_fraction: Callable[[int], float]) -> tuple[float, float]:
        """The belief, °C and %RH; the last reading without a mirror, or once the mirror gives no number."""
        state = self.state
        if self._mirror is None:
            return state.temperature, state.humidity
        since = since_ms(at, state.unix_ms, state.is_synced, state.elapsed_ms, state.session) or 0
        wanted = max(1, min((since + MINUTE_MS // 2) // MINUTE_MS, self._steps + STEPS_LIMIT))
        try:
            while self._steps < wanted:
                self._mirror = self._mirror.step(day_fraction(state.unix_ms + self._steps * MINUTE_MS))
                self._steps += 1
            return self._mirror.predict()
        except ModelError:
            self._mirror = None
            return state.temperature, state.humidity


def dump(state: OldState) -> bytes:
    """The state for the file: one line of JSON, then the mirror."""
    fields = {name: getattr(state, name) for name in FIELDS}
    return json.dumps(fields).encode() + b"\n" + (state.mirror.dump() if state.mirror is not None else b"")


FIELDS = (
    "epoch",
    "counter",
    "temperature",
    "humidity",
    "edge_ms",
    "elapsed_ms",
    "session",
    "unix_ms",
    "is_synced",
    "fingerprint",
)


def load(dumped: bytes, weights: Weights | None) -> OldState:
    """What `dump` made, which has passed its checksum; the mirror is taken up only if these weights began it."""
    head, _, model = dumped.partition(b"\n")
    state = OldState(**json.loads(head), mirror=None)
    if weights is None or weights.fingerprint != state.fingerprint or not model:
        return replace(state, fingerprint="")
    return replace(state, mirror=Mirror.load(weights.scale, model))


def _steps(state: OldState, payload: Payload, at: Instant) -> int:
    """Samples of the node since its last reading, at least 1: by its own clock if that makes sense, else by ours."""
    passed_ms = since_ms(at, state.unix_ms, state.is_synced, state.elapsed_ms, state.session) or 0
    if payload.edge_ms is not None and state.edge_ms is not None:
        ticks_ms = (payload.edge_ms - state.edge_ms + TICKS // 2) % TICKS - TICKS // 2
        if ticks_ms > 0 and abs(ticks_ms - passed_ms) <= DISAGREEMENT_LIMIT_MS:
            passed_ms = ticks_ms
    return max(1, min((passed_ms + MINUTE_MS // 2) // MINUTE_MS, STEPS_LIMIT))
