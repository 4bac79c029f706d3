"""Old nodes (with the firmware of the older installation): decodes their lines, and keeps their forecasts.

The receiver prints `Received: <payload>`; a payload is `<edge_ms>,<t>,<h>` or `<t>,<h>`, and 0 °C with 0 %RH asks for
the time. What the older gateway accepted is accepted: text before `Received:`, more fields, signs and exponents. A line
does not name its sender, so each port counts as one node, and the node's readings are numbered here. With the
operators' weights the forecast is the mirrored model, with one step for each minute of the node's own clock; without
them it is the last reading. Readings that a message cannot carry are rejected. Pure.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from aoii.broker.messages import HUMIDITY_RANGE, TEMPERATURE_RANGE, Identity
from aoii.gateway.legacy.layers import ModelError
from aoii.gateway.legacy.model import Model, Weights
from aoii.gateway.readings import AcceptedReading, Instant, since_ms
from aoii.runtime.numerals import decimal, whole

PREFIX = "Received:"
CHATTER = re.compile(r"Sync sent:.*|-+\s*")  # other lines that the old receiver prints
NO_NUMBER = re.compile(r"[-+]?(nan|inf|infinity|ovf)", re.IGNORECASE)  # how the firmware prints a failed measurement

TICKS = 1 << 32  # edge_ms wraps here
DELAY_LIMIT_MS = 600_000  # a larger delay means a clock that was never set
DISAGREEMENT_LIMIT_MS = 3_600_000  # between node's and gateway's clock since the last reading; more: one was set
NAME_LIMIT = 128  # characters of a node's name in messages and tables


@dataclass(frozen=True)
class Payload:
    """A reading.

    Attributes:
        temperature: °C.
        humidity: %RH.
        edge_ms: The node's clock, Unix or uptime milliseconds modulo 2**32; None if it sends none.
    """

    temperature: float
    humidity: float
    edge_ms: int | None


@dataclass(frozen=True)
class TimeRequest:
    """The node asks for the time; the line holds no reading."""


@dataclass(frozen=True)
class RejectedLine:
    """A line without a usable reading. `reason`: `noise`, `payload` (not two numbers or more), or `range`."""

    reason: str


@dataclass(frozen=True)
class OldState:
    """What the gateway stores of an old node.

    Attributes:
        epoch: The epoch in which `counter` counts.
        counter: The counter of the next reading.
        temperature: The last reading's, °C.
        humidity: The last reading's, %RH.
        edge_ms: The node's clock at that reading; None if it sends none.
        elapsed_ms: When it was sampled, on the gateway's elapsed clock.
        session: The run of the gateway to which `elapsed_ms` belongs.
        unix_ms: When it was sampled, on the wall clock.
        is_synced: Whether the wall clock could be relied on.
        fingerprint: Of the weights that `mirror` began with; empty without weights.
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
    mirror: Model | None


@dataclass(frozen=True)
class Accepted:
    """A reading to be committed, and the state after it. `diverged`: whether the mirrored model had to start again."""

    reading: AcceptedReading
    state: OldState
    diverged: bool


def node_name(gateway_id: str, path: str) -> str:
    """Name of the old node on a port, `<gateway>/<port>`; a path that is too long becomes its digest and its end."""
    port = path.removeprefix("/dev/").lstrip("/")
    room = NAME_LIMIT - len(gateway_id) - 1
    if len(port) > room:
        digest = hashlib.sha256(path.encode()).hexdigest()[:8]
        port = f"{digest}~{port[-(room - len(digest) - 1) :]}"
    return f"{gateway_id}/{port}"


def decode_line(line: str) -> Payload | TimeRequest | RejectedLine | None:
    """The content of a line from the receiver; None for the other lines that it prints, which hold nothing."""
    _, prefix, text = line.rpartition(PREFIX)  # before it: a line without its end, or what a receiver prints at a boot
    if not prefix:
        return None if CHATTER.fullmatch(line) else RejectedLine("noise")
    fields = [field.strip() for field in text.split(",")]
    has_clock = len(fields) >= 3
    values = fields[1:3] if has_clock else fields  # further fields are ignored, as the older gateway did
    try:
        temperature, humidity = map(decimal, values)
        edge_ms = whole(fields[0]) if has_clock else None
    except ValueError:
        return RejectedLine("range" if any(NO_NUMBER.fullmatch(value) for value in values) else "payload")
    if temperature == humidity == 0.0:
        return TimeRequest()
    if not (
        TEMPERATURE_RANGE[0] <= temperature <= TEMPERATURE_RANGE[1]
        and HUMIDITY_RANGE[0] <= humidity <= HUMIDITY_RANGE[1]
        and (edge_ms is None or edge_ms < TICKS)
    ):
        return RejectedLine("range")
    return Payload(temperature, humidity, edge_ms)


def accept(
    state: OldState | None,
    payload: Payload,
    node: str,
    epoch: int,
    weights: Weights | None,
    day_fraction: Callable[[int], float],
    at: Instant,
) -> Accepted:
    """Number a reading, take its estimate from the forecast, and move the forecast on.

    Args:
        state: The stored state of this node, as `decode_state` returns it for these weights; None for a new node.
        payload: The reading.
        node: The node's name.
        epoch: The epoch of old nodes in the outbox file.
        weights: The operators' weights; None without.
        day_fraction: Local time of day, 0..1, at a Unix millisecond.
        at: When the line was read.
    """
    delay_ms = None if payload.edge_ms is None else transmission_delay_ms(at.unix_ms, payload.edge_ms)
    unix_ms = max(0, at.unix_ms - (delay_ms or 0))
    estimate, mirror, diverged = _learn(state, payload, weights, day_fraction, unix_ms, at)
    reading = AcceptedReading(
        Identity(node, epoch, state.counter if state is not None and state.epoch == epoch else 0),
        "legacy",
        payload.temperature,
        payload.humidity,
        estimate,
        unix_ms,
        at.is_synced,
        delay_ms=delay_ms,
        held_ms=max(0, delay_ms or 0) if at.is_synced else 0,
    )
    return Accepted(reading, _state_after(reading, payload, unix_ms, weights, mirror, at), diverged)


def transmission_delay_ms(unix_ms: int, edge_ms: int) -> int | None:
    """Gateway clock minus node clock; None when it is too large for a delay."""
    delay_ms = _signed_ms(unix_ms - edge_ms)
    return delay_ms if abs(delay_ms) <= DELAY_LIMIT_MS else None


class OldNodeForecast:
    """The forecast of an old node since its last reading; remembers how far it has stepped the mirror."""

    def __init__(self, state: OldState) -> None:
        self.state = state
        self._mirror = state.mirror
        self._steps = 1  # how many samples after the reading the next prediction is for

    def at(self, at: Instant, day_fraction: Callable[[int], float]) -> tuple[float, float]:
        """The estimate, °C and %RH; the last reading if there is no mirror, or once the mirror has diverged."""
        state = self.state
        if self._mirror is None:
            return state.temperature, state.humidity
        passed_ms = since_ms(at, state.unix_ms, state.is_synced, state.elapsed_ms, state.session) or 0
        period_ms = self._mirror.PERIOD_MS
        wanted = max(1, min((passed_ms + period_ms // 2) // period_ms, self._steps + self._mirror.STEPS_LIMIT))
        try:
            while self._steps < wanted:
                self._mirror = self._mirror.step(day_fraction(state.unix_ms + self._steps * period_ms))
                self._steps += 1
            return self._mirror.predict(day_fraction(state.unix_ms + self._steps * period_ms))
        except ModelError:
            self._mirror = None
            return state.temperature, state.humidity


def encode_state(state: OldState) -> bytes:
    """The state for the file: one line of JSON, then the mirror."""
    head = {name: value for name, value in vars(state).items() if name != "mirror"}
    return json.dumps(head).encode() + b"\n" + (state.mirror.dump() if state.mirror is not None else b"")


def decode_state(encoded: bytes, weights: Weights | None) -> OldState:
    """The inverse of `encode_state`; without the mirror if it did not begin with these weights."""
    head, _, model = encoded.partition(b"\n")
    state = OldState(**json.loads(head), mirror=None)
    if weights is None or weights.fingerprint != state.fingerprint or not model:
        return replace(state, fingerprint="")
    return replace(state, mirror=weights.load(model))


def _learn(
    state: OldState | None,
    payload: Payload,
    weights: Weights | None,
    day_fraction: Callable[[int], float],
    unix_ms: int,
    at: Instant,
) -> tuple[tuple[float, float] | None, Model | None, bool]:
    """The estimate for a reading, the mirror after it, and whether the mirror has diverged and starts again."""
    last = None if state is None else (state.temperature, state.humidity)
    if weights is None:
        return last, None, False
    mirror = weights.initial() if state is None or state.mirror is None else state.mirror
    period_ms = mirror.PERIOD_MS
    steps = 1 if state is None else min(_passed_ms(state, payload, at, period_ms) // period_ms, mirror.STEPS_LIMIT)
    try:
        for ago in range(steps - 1, 0, -1):
            mirror = mirror.step(day_fraction(unix_ms - ago * period_ms))
        return *mirror.learn(payload.temperature, payload.humidity, day_fraction(unix_ms)), False
    except ModelError:
        return last, weights.initial(), True


def _state_after(
    reading: AcceptedReading,
    payload: Payload,
    unix_ms: int,
    weights: Weights | None,
    mirror: Model | None,
    at: Instant,
) -> OldState:
    return OldState(
        reading.identity.epoch,
        reading.identity.counter + 1,
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


def _passed_ms(state: OldState, payload: Payload, at: Instant, period_ms: int) -> int:
    """Time since the node's last reading, to the next half period: by its clock if plausible, else by ours."""
    passed_ms = since_ms(at, state.unix_ms, state.is_synced, state.elapsed_ms, state.session) or 0
    if payload.edge_ms is not None and state.edge_ms is not None:
        ticks_ms = _signed_ms(payload.edge_ms - state.edge_ms)
        if ticks_ms > 0 and abs(ticks_ms - passed_ms) <= DISAGREEMENT_LIMIT_MS:
            passed_ms = ticks_ms
    return passed_ms + period_ms // 2


def _signed_ms(difference_ms: int) -> int:
    """The difference of two clocks that wrap at 2**32: of all numbers it may stand for, the one nearest to 0."""
    return (difference_ms + TICKS // 2) % TICKS - TICKS // 2
