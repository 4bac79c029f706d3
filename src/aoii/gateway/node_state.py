"""Frames of our own nodes to events: who is believed, what is new, and the forecast of each node.

Pure: a node's state and an authenticated frame in, a new state and what to answer out. The replay window judges frame
numbers only; a frame that was accepted before gets its acknowledgement again and changes nothing. The forecast is a
function of the last packet: the reading, its trend, and the settings that the node said it used. It refuses to touch
keys, radio, file and clock, and to believe a frame that `core.frames` has not authenticated.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aoii.broker.messages import Identity, Kind
from aoii.core.forecast import PROVISIONED, Forecast, NodeSettings, Trend
from aoii.core.frames import AGE_LIMIT_S, BACKFILL, Rejected, Uplink
from aoii.gateway.events import Event, Instant, since_ms

REPLAY_WINDOW = 32  # distinct frames that may overtake each other; a node has one or two on the way
BELIEFS_KEPT = 8  # forecasts of the past, for events that arrive late
GENERATIONS = 8  # as many as a frame can name; 0 is what the node was provisioned with, and nobody told us

NO_COUNTER = -1  # of a forecast from an earlier epoch: counters began again

KINDS: dict[str, Kind] = {"event": "event", "heartbeat": "heartbeat", "backfill": "backfill"}


@dataclass(frozen=True)
class HeldForecast:
    """A forecast and where it came from.

    Attributes:
        counter: Event counter of the reading.
        forecast: With `sampled_ms` on the elapsed clock of the state's session.
        known_ms: Since when the gateway holds it, on the same clock.
        unix_ms, is_synced: When the sample was taken by the wall clock, and whether that was believed.
    """

    counter: int
    forecast: Forecast
    known_ms: int
    unix_ms: int
    is_synced: bool


@dataclass(frozen=True)
class NodeState:
    """What the gateway keeps of a node, durably.

    Attributes:
        epoch: The node's; it only rises.
        highest: Highest frame number accepted in it.
        seen: Frame numbers accepted within the replay window, each with the frame's authentication code.
        generation: What the gateway calls the settings that it wants, 1..7.
        settings: Settings by generation, as far as they are known.
        forecasts: Forecasts, the present one first; none before the first event or heartbeat.
        session: The run of the gateway whose elapsed clock the times are on.
    """

    epoch: int
    highest: int
    seen: tuple[tuple[int, bytes], ...]
    generation: int
    settings: tuple[NodeSettings | None, ...]
    forecasts: tuple[HeldForecast, ...]
    session: int


@dataclass(frozen=True)
class Answer:
    """What the acknowledgement tells about settings: the generation wanted, and its settings if the node lacks them."""

    generation: int
    settings: NodeSettings | None


@dataclass(frozen=True)
class Accepted:
    """A frame to be committed, and then answered. `event` is None when the reading itself was accepted before."""

    state: NodeState
    event: Event | None
    answer: Answer


@dataclass(frozen=True)
class Repeated:
    """A retransmission, byte for byte, of a frame that was accepted: answered again, nothing else."""

    answer: Answer


def hear(
    state: NodeState | None, uplink: Uplink, code: bytes, epoch: int, wanted: NodeSettings, at: Instant
) -> Accepted | Repeated | Rejected:
    """Judge an authenticated frame.

    Args:
        state: What was kept of this node; None for one that was never heard.
        uplink: The frame.
        code: Its authentication code, which tells frames with one number apart.
        epoch: What the node was provisioned with.
        wanted: Settings that it shall use.
        at: When the frame was heard.
    """
    if uplink.epoch != epoch or (state is not None and epoch < state.epoch):
        kept = epoch if state is None else max(epoch, state.epoch)
        return Rejected("epoch", f"node {uplink.node}: epoch {uplink.epoch}; provisioned is {epoch}, heard was {kept}")
    state = _begun(epoch, uplink.frame, at.session) if state is None else _of_epoch(revived(state, at), uplink)
    seen = dict(state.seen)
    if uplink.frame in seen:
        if seen[uplink.frame] != code:
            return Rejected("replay", f"node {uplink.node}: frame {uplink.frame} with two contents")
        return Repeated(_answer(state, uplink))
    if uplink.frame <= state.highest - REPLAY_WINDOW:
        return Rejected("replay", f"node {uplink.node}: frame {uplink.frame}, long after {state.highest}")
    state, used = _settled(state, uplink, wanted)
    is_newest = uplink.frame > state.highest
    highest = max(state.highest, uplink.frame)
    seen[uplink.frame] = code
    kept_frames = tuple((frame, seen[frame]) for frame in sorted(seen) if frame > highest - REPLAY_WINDOW)
    state = replace(state, highest=highest, seen=kept_frames)
    answer = _answer(state, uplink)
    if _is_known(state, uplink):
        return Accepted(state, None, answer)
    sampled_ms = at.elapsed_ms - 1000 * uplink.age_s
    unix_ms = max(0, at.unix_ms - 1000 * uplink.age_s)
    is_dated = uplink.age_s < AGE_LIMIT_S  # the node lost its power, and with it when it took the reading
    event = Event(
        Identity(str(uplink.node), uplink.epoch, uplink.counter),
        KINDS[uplink.kind],
        uplink.temperature_c / 100,
        uplink.humidity_c / 100,
        _believed(state.forecasts, sampled_ms) if is_dated else None,
        unix_ms if is_dated else None,
        at.is_synced and is_dated,
        held_ms=_held_ms(state.forecasts, sampled_ms, at.elapsed_ms) if is_dated else None,
    )
    if is_newest and not uplink.flags & BACKFILL:
        forecast = Forecast(uplink.temperature_c, uplink.humidity_c, uplink.trend, used, sampled_ms)
        belief = HeldForecast(uplink.counter, forecast, at.elapsed_ms, unix_ms, event.clock_synced)
        state = replace(state, forecasts=(belief, *state.forecasts[: BELIEFS_KEPT - 1]))
    return Accepted(state, event, answer)


def estimate(state: NodeState, at: Instant) -> tuple[float, float] | None:
    """What the gateway believes of the node now, °C and %RH; None before the first event or heartbeat."""
    forecasts = revived(state, at).forecasts
    return _degrees(forecasts[0].forecast, at.elapsed_ms) if forecasts else None


def revived(state: NodeState, at: Instant) -> NodeState:
    """The state on the present session's clock; a forecast of unknown age counts as just taken."""
    if state.session == at.session:
        return state
    forecasts = []
    for belief in state.forecasts:
        age_ms = since_ms(at, belief.unix_ms, belief.is_synced, belief.forecast.sampled_ms, state.session) or 0
        shift_ms = at.elapsed_ms - age_ms - belief.forecast.sampled_ms
        forecasts.append(
            replace(
                belief,
                forecast=Forecast(*belief.forecast[:-1], belief.forecast.sampled_ms + shift_ms),
                known_ms=min(belief.known_ms + shift_ms, at.elapsed_ms),
            )
        )
    return replace(state, forecasts=tuple(forecasts), session=at.session)


def dump(state: NodeState) -> bytes:
    """The state as JSON, for the file."""
    fields = {
        "epoch": state.epoch,
        "highest": state.highest,
        "seen": [[frame, code.hex()] for frame, code in state.seen],
        "generation": state.generation,
        "settings": state.settings,
        "beliefs": [
            [belief.counter, *belief.forecast, belief.known_ms, belief.unix_ms, belief.is_synced]
            for belief in state.forecasts
        ],
        "session": state.session,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def load(dumped: bytes) -> NodeState:
    """What `dump` made; it has passed its checksum."""
    fields = json.loads(dumped)
    return NodeState(
        fields["epoch"],
        fields["highest"],
        tuple((frame, bytes.fromhex(code)) for frame, code in fields["seen"]),
        fields["generation"],
        tuple(None if one is None else _node_settings(one) for one in fields["settings"]),
        tuple(
            HeldForecast(
                counter,
                Forecast(t_c, h_c, Trend(*trend), _node_settings(settings), sampled_ms),
                known_ms,
                unix_ms,
                synced,
            )
            for counter, t_c, h_c, trend, settings, sampled_ms, known_ms, unix_ms, synced in fields["beliefs"]
        ),
        fields["session"],
    )


def _node_settings(fields: list[int]) -> NodeSettings:
    """Settings out of the file; those of an earlier version lack the last ones."""
    return NodeSettings(*fields, *PROVISIONED[len(fields) :])


def _begun(epoch: int, frame: int, session: int) -> NodeState:
    return NodeState(epoch, frame - 1, (), 0, (None,) * GENERATIONS, (), session)


def _of_epoch(state: NodeState, uplink: Uplink) -> NodeState:
    """A new epoch is a node provisioned anew: numbers and settings begin again, the forecast is what it was."""
    if uplink.epoch == state.epoch:
        return state
    forecasts = tuple(replace(belief, counter=NO_COUNTER) for belief in state.forecasts)
    return replace(_begun(uplink.epoch, uplink.frame, state.session), forecasts=forecasts)


def _settled(state: NodeState, uplink: Uplink, wanted: NodeSettings) -> tuple[NodeState, NodeSettings]:
    """The state with a generation for the settings wanted, and the settings that the node used for this frame.

    A new generation is never the one in force at the node, which would hide the change from it; so a gateway that has
    lost its file does not mistake an older generation for its own.
    """
    used = state.settings[uplink.generation]
    if state.generation == 0 or state.settings[state.generation] != wanted:
        generation = state.generation % (GENERATIONS - 1) + 1
        if generation == uplink.generation:
            generation = generation % (GENERATIONS - 1) + 1
        settings = list(state.settings)
        settings[generation] = wanted
        state = replace(state, generation=generation, settings=tuple(settings))
    if used is None:
        # In generation 0 trends are HOLD, which reads the same under any settings.
        used = PROVISIONED if uplink.generation == 0 else wanted
    return state, used


def _answer(state: NodeState, uplink: Uplink) -> Answer:
    lacks_them = uplink.generation != state.generation
    return Answer(state.generation, state.settings[state.generation] if lacks_them else None)


def _is_known(state: NodeState, uplink: Uplink) -> bool:
    """Whether a new frame carries a reading accepted lately, whose acknowledgement was lost."""
    said = (uplink.counter, uplink.temperature_c, uplink.humidity_c)
    return any((belief.counter, *belief.forecast[:2]) == said for belief in state.forecasts)


def _believed(forecasts: Iterable[HeldForecast], sampled_ms: int) -> tuple[float, float] | None:
    """What was believed at that instant for that instant: by the newest forecast known then, else by the oldest."""
    found = None
    for belief in forecasts:
        found = belief.forecast
        if belief.known_ms <= sampled_ms:
            break
    return None if found is None else _degrees(found, sampled_ms)


def _held_ms(forecasts: Iterable[HeldForecast], sampled_ms: int, now_ms: int) -> int | None:
    """For how long what was believed at that instant was held after it: until another forecast came, or until now.

    None when the gateway has forgotten what it held then.
    """
    known_ms = [belief.known_ms for belief in forecasts]
    if not any(at_ms <= sampled_ms for at_ms in known_ms):
        return None
    return min((at_ms for at_ms in known_ms if at_ms > sampled_ms), default=now_ms) - sampled_ms


def _degrees(forecast: Forecast, elapsed_ms: int) -> tuple[float, float]:
    temperature_c, humidity_c = forecast.at(elapsed_ms)
    return temperature_c / 100, humidity_c / 100
