"""Judges frames of our own nodes: which are new, what reading each brings, and which forecast follows.

Pure: a node's state and an authenticated frame in, a new state and an answer out. Frames must have been authenticated
by `core.frames`. The replay window judges frame numbers, not counters. A frame that was accepted before is acknowledged
again and changes nothing. The forecast is a function of the last packet: the reading, its trend, and the settings that
the node says it used.
"""

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aoii.broker.messages import Identity, Kind
from aoii.core.forecast import PROVISIONED, Forecast, NodeSettings, Trend
from aoii.core.frames import AGE_LIMIT_S, BACKFILL, Rejected, Uplink
from aoii.gateway.readings import AcceptedReading, Instant, since_ms

REPLAY_WINDOW = 32  # distinct frames that may overtake each other; a node has one or two on the way
FORECASTS_KEPT = 8  # the present one and earlier ones, for readings that arrive late
GENERATIONS = 8  # as many as a frame can name; in generation 0 are the settings that the node was provisioned with

NO_COUNTER = -1  # of a forecast from an earlier epoch, because counters have begun again since

KINDS: dict[str, Kind] = {"event": "event", "heartbeat": "heartbeat", "backfill": "backfill"}


@dataclass(frozen=True)
class HeldForecast:
    """A forecast and where it came from.

    Attributes:
        counter: The reading's; NO_COUNTER if the reading is of an earlier epoch.
        forecast: With `sampled_ms` on the elapsed clock of the state's session.
        known_ms: Since when the gateway holds it, on the same clock.
        unix_ms: When the sample was taken, by the wall clock.
        is_synced: Whether that clock could be relied on.
    """

    counter: int
    forecast: Forecast
    known_ms: int
    unix_ms: int
    is_synced: bool


@dataclass(frozen=True)
class NodeState:
    """What the gateway stores of a node.

    Attributes:
        epoch: The node's; it only rises.
        highest: Highest frame number accepted in this epoch.
        seen: Frame numbers accepted within the replay window, each with the frame's authentication code.
        generation: Number of the settings that the gateway wants, 1..7; 0: it has told the node nothing.
        settings: Settings by generation; None where unknown.
        forecasts: Forecasts, the present one first; none before the first event or heartbeat.
        session: The run of the gateway whose elapsed clock the times are on.
        is_in_force: Whether the node has used `generation` since it was told.
    """

    epoch: int
    highest: int
    seen: tuple[tuple[int, bytes], ...]
    generation: int
    settings: tuple[NodeSettings | None, ...]
    forecasts: tuple[HeldForecast, ...]
    session: int
    is_in_force: bool = False

    @property
    def heartbeat_s(self) -> int:
        """Seconds of silence after which the node has promised a heartbeat; 0: none, or nothing is known of it yet."""
        return self.forecasts[0].forecast.settings.heartbeat_s if self.forecasts else 0


@dataclass(frozen=True)
class Answer:
    """What the acknowledgement says about settings.

    Attributes:
        generation: The generation wanted.
        settings: Its settings if the node lacks them.
        is_moved: Whether another gateway has moved the node to a generation that this one does not know.
    """

    generation: int
    settings: NodeSettings | None
    is_moved: bool = False


@dataclass(frozen=True)
class Accepted:
    """A frame to be committed, and then answered. `reading` is None when it was accepted before, in another frame."""

    state: NodeState
    reading: AcceptedReading | None
    answer: Answer


@dataclass(frozen=True)
class Repeated:
    """A retransmission, byte for byte, of an accepted frame; it is answered again and changes nothing."""

    answer: Answer


def accept(
    state: NodeState | None,
    uplink: Uplink,
    code: bytes,
    epoch: int,
    wanted: NodeSettings,
    at: Instant,
    is_witness: bool = False,
) -> Accepted | Repeated | Rejected:
    """Judge an authenticated frame.

    Args:
        state: The stored state of this node; None for a new node.
        uplink: The frame.
        code: Its authentication code, which tells frames with the same number apart.
        epoch: The epoch that the node was provisioned with.
        wanted: Settings that the node should use.
        at: When the frame was received.
        is_witness: Whether the settings are another gateway's affair: the answer tells the node none.

    Returns:
        `Accepted` for a new frame, `Repeated` for one that was accepted before, and `Rejected` with reason `epoch` or
        `replay` otherwise.
    """
    if uplink.epoch != epoch or (state is not None and epoch < state.epoch):
        seen_epoch = epoch if state is None else max(epoch, state.epoch)
        return Rejected(
            "epoch",
            f"node {uplink.node}: epoch {uplink.epoch}; provisioned is {epoch}, the highest seen is {seen_epoch}",
        )
    state = _initial(epoch, uplink.frame, at.session) if state is None else _in_epoch(rebase(state, at), uplink)
    seen = dict(state.seen)
    if uplink.frame in seen:
        if seen[uplink.frame] != code:
            return Rejected("replay", f"node {uplink.node}: frame {uplink.frame} with two contents")
        return Repeated(_witness_answer(uplink) if is_witness else _answer(state, uplink))
    if uplink.frame <= state.highest - REPLAY_WINDOW:
        return Rejected("replay", f"node {uplink.node}: frame {uplink.frame}, long after {state.highest}")
    is_newest = uplink.frame > state.highest
    answer = _witness_answer(uplink)
    if not is_witness:
        is_moved = is_newest and _is_moved(state, uplink, wanted)
        state = _with_settings(state, uplink, wanted, is_newest)
        answer = replace(_answer(state, uplink), is_moved=is_moved)
    state = _with_frame(state, uplink.frame, code)
    if _is_known(state, uplink):
        return Accepted(state, None, answer)
    reading, held = _reading(state, uplink, wanted, at)
    if is_newest and not uplink.flags & BACKFILL:
        state = replace(state, forecasts=(held, *state.forecasts[: FORECASTS_KEPT - 1]))
    return Accepted(state, reading, answer)


def estimate(state: NodeState, at: Instant) -> tuple[float, float] | None:
    """The gateway's estimate of the node now, °C and %RH; None before the first event or heartbeat."""
    forecasts = rebase(state, at).forecasts
    return _values_at(forecasts[0].forecast, at.elapsed_ms) if forecasts else None


def source(state: NodeState) -> tuple[int, int] | None:
    """Epoch and counter of the reading from which the estimate follows; None if there is none, or of another epoch."""
    if not state.forecasts or state.forecasts[0].counter == NO_COUNTER:
        return None
    return state.epoch, state.forecasts[0].counter


def rebase(state: NodeState, at: Instant) -> NodeState:
    """The state with its times on the elapsed clock of this session; a forecast of unknown age counts as new."""
    if state.session == at.session:
        return state
    forecasts = []
    for held in state.forecasts:
        age_ms = since_ms(at, held.unix_ms, held.is_synced, held.forecast.sampled_ms, state.session) or 0
        shift_ms = at.elapsed_ms - age_ms - held.forecast.sampled_ms
        forecast = Forecast(*held.forecast[:-1], held.forecast.sampled_ms + shift_ms)
        known_ms = min(held.known_ms + shift_ms, at.elapsed_ms)
        forecasts.append(replace(held, forecast=forecast, known_ms=known_ms))
    return replace(state, forecasts=tuple(forecasts), session=at.session)


def encode_state(state: NodeState) -> bytes:
    """The state as JSON, for the outbox file."""
    fields = vars(state) | {"seen": [[frame, code.hex()] for frame, code in state.seen]}
    # Earlier releases know no `is_in_force`, and neither write nor use the settings of generation 0.
    fields["settings"] = (PROVISIONED if fields.pop("is_in_force") else None, *state.settings[1:])
    fields["beliefs"] = [  # their name in the files of the first release
        [held.counter, *held.forecast, held.known_ms, held.unix_ms, held.is_synced] for held in fields.pop("forecasts")
    ]
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_state(encoded: bytes) -> NodeState:
    """The inverse of `encode_state`; `encoded` has passed its checksum."""
    fields = json.loads(encoded)
    fields["seen"] = tuple((frame, bytes.fromhex(code)) for frame, code in fields["seen"])
    settings = [None if one is None else _node_settings(one) for one in fields["settings"]]
    fields["is_in_force"] = settings[0] is not None
    fields["settings"] = (None, *settings[1:])
    fields["forecasts"] = tuple(
        HeldForecast(counter, Forecast(t_c, h_c, Trend(*trend), _node_settings(settings), sampled_ms), *known)
        for counter, t_c, h_c, trend, settings, sampled_ms, *known in fields.pop("beliefs")
    )
    return NodeState(**fields)


def without_forecasts(encoded: bytes) -> bytes:
    """An encoded state without its forecasts, for a file that is older than what the node has sent since."""
    return encode_state(replace(decode_state(encoded), forecasts=()))


def _node_settings(fields: list[int]) -> NodeSettings:
    """Settings from the file; those that an earlier version wrote lack the last fields."""
    return NodeSettings(*fields, *PROVISIONED[len(fields) :])


def _initial(epoch: int, frame: int, session: int) -> NodeState:
    """The state just before the first frame of an epoch."""
    return NodeState(epoch, frame - 1, (), 0, (None,) * GENERATIONS, (), session)


def _in_epoch(state: NodeState, uplink: Uplink) -> NodeState:
    """The state in the frame's epoch. In a new epoch, numbers and settings begin again, and the forecasts stay."""
    if uplink.epoch == state.epoch:
        return state
    forecasts = tuple(replace(held, counter=NO_COUNTER) for held in state.forecasts)
    return replace(_initial(uplink.epoch, uplink.frame, state.session), forecasts=forecasts)


def _with_frame(state: NodeState, frame: int, code: bytes) -> NodeState:
    """The state after a frame with this number was accepted."""
    highest = max(state.highest, frame)
    seen = sorted((*state.seen, (frame, code)))
    kept = tuple((number, code) for number, code in seen if number > highest - REPLAY_WINDOW)
    return replace(state, highest=highest, seen=kept)


def generation_of(settings: NodeSettings) -> int:
    """The number, 1..7, by which every gateway first calls these settings: gateways that agree need not talk."""
    return settings_checksum(settings) % (GENERATIONS - 1) + 1


def settings_checksum(settings: NodeSettings) -> int:
    """A number from 0 to 2**32 - 1 that nearly always differs for other settings."""
    return zlib.crc32(struct.pack("<HHHHHB", *settings))


def _with_settings(state: NodeState, uplink: Uplink, wanted: NodeSettings, is_newest: bool) -> NodeState:
    """The state with a generation for the wanted settings.

    A new generation never has the number that the node uses already, because the gateway would not notice whether the
    node has changed. A gateway that has lost its file could otherwise choose that number. Once the node has changed,
    other numbers are forgotten: another gateway may give them another meaning. Why two gateways come to rest:
    docs/decisions/0025-a-witness.md.
    """
    used = uplink.generation
    if state.generation != 0 and state.settings[state.generation] == wanted:
        if not is_newest:  # a late frame says what was in force, not what is
            return state
        if used == state.generation or _is_same_by_another_gateway(state, used, wanted):
            return _with_generation(state, used, wanted, {}, is_in_force=True)
        return replace(state, is_in_force=False)
    generation = _free_generation(state, used, wanted)
    known = {number: one for number, one in enumerate(state.settings) if one is not None}
    return _with_generation(state, generation, wanted, known, is_in_force=False)


def _free_generation(state: NodeState, used: int, wanted: NodeSettings) -> int:
    """The first number, from that of the settings on, which the node cannot know with another meaning already."""
    first = generation_of(wanted) - 1
    numbers = [(first + step) % (GENERATIONS - 1) + 1 for step in range(GENERATIONS - 1)]
    possible = [number for number in numbers if number not in (used, state.generation)]
    return next((number for number in possible if state.settings[number] in (None, wanted)), possible[0])


def _with_generation(
    state: NodeState, generation: int, wanted: NodeSettings, known: dict[int, NodeSettings], *, is_in_force: bool
) -> NodeState:
    """The state with this number for the wanted settings; of the other numbers it knows only `known`."""
    settings = tuple(wanted if number == generation else known.get(number) for number in range(GENERATIONS))
    return replace(state, generation=generation, settings=settings, is_in_force=is_in_force)


def _is_same_by_another_gateway(state: NodeState, used: int, wanted: NodeSettings) -> bool:
    """Whether a node that has had the wanted settings now calls them by the number that another gateway gave them."""
    return state.is_in_force and used == generation_of(wanted) and state.settings[used] is None


def _is_moved(state: NodeState, uplink: Uplink, wanted: NodeSettings) -> bool:
    """Whether a node that has had the wanted settings now has some that this gateway did not tell it.

    Generation 0 is no sign: a node that has lost its power is as provisioned.
    """
    used = uplink.generation
    was_in_force = state.is_in_force and state.settings[state.generation] == wanted
    return was_in_force and used not in (0, state.generation) and not _is_same_by_another_gateway(state, used, wanted)


def _answer(state: NodeState, uplink: Uplink) -> Answer:
    lacks_them = uplink.generation != state.generation
    return Answer(state.generation, state.settings[state.generation] if lacks_them else None)


def _witness_answer(uplink: Uplink) -> Answer:
    """The answer of a witness: the node may keep whatever settings it has."""
    return Answer(uplink.generation, None)


def _is_known(state: NodeState, uplink: Uplink) -> bool:
    """Whether a new frame carries a reading that was accepted lately, because its acknowledgement was lost.

    One that the node was asked for may be lost all the same: the outbox file decides whether it is there.
    """
    if uplink.answers:
        return False
    reading = (uplink.counter, uplink.temperature_c, uplink.humidity_c)
    return any((held.counter, *held.forecast[:2]) == reading for held in state.forecasts)


def _reading(
    state: NodeState, uplink: Uplink, wanted: NodeSettings, at: Instant
) -> tuple[AcceptedReading, HeldForecast]:
    """The reading that a frame brings, and the forecast that follows from it."""
    sampled_ms = at.elapsed_ms - 1000 * uplink.age_s
    unix_ms = max(0, at.unix_ms - 1000 * uplink.age_s)
    is_dated = uplink.age_s < AGE_LIMIT_S  # otherwise the node has lost power since, and does not know the age
    reading = AcceptedReading(
        Identity(str(uplink.node), uplink.epoch, uplink.counter),
        KINDS[uplink.kind],
        uplink.temperature_c / 100,
        uplink.humidity_c / 100,
        _estimate_at(state.forecasts, sampled_ms) if is_dated else None,
        unix_ms if is_dated else None,
        at.is_synced and is_dated,
        held_ms=_held_ms(state.forecasts, sampled_ms, at.elapsed_ms) if is_dated else None,
    )
    used = state.settings[uplink.generation]
    if used is None:
        # In generation 0 trends are HOLD, which has the same estimates under any settings. Another generation is
        # unknown after the file was lost; then the settings wanted now are the best guess.
        used = PROVISIONED if uplink.generation == 0 else wanted
    forecast = Forecast(uplink.temperature_c, uplink.humidity_c, uplink.trend, used, sampled_ms)
    return reading, HeldForecast(uplink.counter, forecast, at.elapsed_ms, unix_ms, reading.clock_synced)


def _estimate_at(forecasts: Iterable[HeldForecast], sampled_ms: int) -> tuple[float, float] | None:
    """The estimate at an instant: from the newest forecast that was known then, else from the oldest that is kept."""
    found = None
    for held in forecasts:
        found = held.forecast
        if held.known_ms <= sampled_ms:
            break
    return None if found is None else _values_at(found, sampled_ms)


def _held_ms(forecasts: Iterable[HeldForecast], sampled_ms: int, now_ms: int) -> int | None:
    """How long the forecast that was in force at `sampled_ms` stayed so: until the next one, or until now.

    None if there was none, or it is not kept any more.
    """
    known_ms = [held.known_ms for held in forecasts]
    if not any(at_ms <= sampled_ms for at_ms in known_ms):
        return None
    return min((at_ms for at_ms in known_ms if at_ms > sampled_ms), default=now_ms) - sampled_ms


def _values_at(forecast: Forecast, elapsed_ms: int) -> tuple[float, float]:
    """A forecast's value at an instant, °C and %RH; the forecast itself counts in hundredths."""
    temperature_c, humidity_c = forecast.at(elapsed_ms)
    return temperature_c / 100, humidity_c / 100
