"""Frames to readings: the replay window, repetitions, settings by generation, and the forecast of a node."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.forecast import HOLD, PROVISIONED, NodeSettings, Trend, estimate_pair
from aoii.core.frames import AGE_LIMIT_S, BACKFILL, EVENT, HEARTBEAT, Rejected, Uplink
from aoii.gateway import node_state
from aoii.gateway.node_state import REPLAY_WINDOW, Accepted, NodeState, Repeated
from aoii.gateway.readings import Instant

EPOCH = 3
WANTED = NodeSettings(50, 300, 60, 3600, 0, 1)
OTHER = NodeSettings(20, 150, 30, 600, 0, 1)
TREND = Trend(3, 40, -5, -20, 1)
SESSION = 11


def at(second: float, *, session: int = SESSION, synced: bool = True, boot_s: float = 0) -> Instant:
    """A moment; the elapsed clock of a session starts `boot_s` seconds after the first session's."""
    return Instant(int(1_700_000_000_000 + 1000 * second), synced, int(1000 * (second - boot_s)), session)


def uplink(frame: int, counter: int, temperature_c: int = 2150, flags: int = EVENT, **others: object) -> Uplink:
    fields: dict[str, object] = {
        "node": 7, "epoch": EPOCH, "frame": frame, "counter": counter, "age_s": 0, "temperature_c": temperature_c,
        "humidity_c": 4000, "trend": HOLD, "flags": flags, "generation": 1, "battery": 0,
        "answers": 0,
    }  # fmt: skip
    return Uplink(**(fields | others))


def code_of(frame: Uplink) -> bytes:
    return repr(frame).encode()


def accept(
    state: NodeState | None, frame: Uplink, when: Instant, wanted: NodeSettings = WANTED, code: bytes | None = None
) -> Accepted | Repeated | Rejected:
    return node_state.accept(state, frame, code or code_of(frame), EPOCH, wanted, when)


def accepted(state: NodeState | None, frame: Uplink, when: Instant, wanted: NodeSettings = WANTED) -> Accepted:
    decision = accept(state, frame, when, wanted)
    assert isinstance(decision, Accepted)
    return decision


def test_the_first_frame_is_an_event_without_an_estimate() -> None:
    decision = accepted(None, uplink(100, 5, age_s=2), at(10))

    event = decision.reading
    assert event is not None
    assert (event.identity.node, event.identity.epoch, event.identity.counter) == ("7", EPOCH, 5)
    assert (event.kind, event.actual_t, event.actual_h, event.estimate) == ("event", 21.5, 40.0, None)
    assert event.unix_ms == at(8).unix_ms
    assert node_state.estimate(decision.state, at(10)) == (21.5, 40.0)


def test_a_retransmission_gets_the_same_answer_and_changes_nothing() -> None:
    first = accepted(None, uplink(1, 1, generation=0), at(0))

    again = accept(first.state, uplink(1, 1, generation=0), at(3))

    assert again == Repeated(first.answer)


def test_another_content_under_an_accepted_frame_number_is_refused() -> None:
    first = accepted(None, uplink(1, 1), at(0))

    decision = accept(first.state, uplink(1, 2, 2200), at(3))

    assert isinstance(decision, Rejected)
    assert decision.reason == "replay"


def test_frames_may_overtake_each_other_within_the_window_and_not_beyond() -> None:
    state = accepted(None, uplink(100, 1), at(0)).state
    state = accepted(state, uplink(100 + REPLAY_WINDOW, 2), at(1)).state

    assert isinstance(accept(state, uplink(101, 3), at(2)), Accepted)
    late = accept(state, uplink(100, 1), at(2))
    assert isinstance(late, Rejected)
    assert late.reason == "replay"


@given(st.lists(st.integers(0, 80), max_size=60), st.randoms(use_true_random=False))
def test_a_frame_is_an_event_at_most_once_in_whatever_order_it_comes(frames: list[int], chance: random.Random) -> None:
    state: NodeState | None = None
    seen: set[int] = set()
    for second, frame in enumerate(frames):
        decision = accept(state, uplink(frame, frame), at(second))
        if isinstance(decision, Accepted):
            assert frame not in seen
            seen.add(frame)
            state = (
                node_state.decode_state(node_state.encode_state(decision.state))
                if chance.random() < 0.5
                else decision.state
            )
        elif isinstance(decision, Repeated):
            assert frame in seen
        else:
            assert frame <= max(seen) - REPLAY_WINDOW
    assert state is None or len(state.seen) <= REPLAY_WINDOW


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_a_frame_of_another_epoch_is_refused(epoch: int) -> None:
    decision = accept(None, uplink(1, 1, epoch=epoch), at(0))

    assert isinstance(decision, Rejected)
    assert decision.reason == "epoch"


def test_an_epoch_only_rises_even_if_the_key_file_goes_back() -> None:
    state = accepted(None, uplink(9, 9), at(0)).state

    back = node_state.accept(state, uplink(10, 10, epoch=EPOCH - 1), b"code", EPOCH - 1, WANTED, at(1))
    onward = node_state.accept(state, uplink(1, 1, 1900, epoch=EPOCH + 1), b"code", EPOCH + 1, WANTED, at(1))

    assert isinstance(back, Rejected)
    assert isinstance(onward, Accepted)
    assert onward.reading is not None
    assert onward.reading.estimate == (21.5, 40.0)
    assert (onward.state.epoch, onward.state.highest) == (EPOCH + 1, 1)


def test_a_reading_framed_again_is_acknowledged_and_is_no_second_event() -> None:
    first = accepted(None, uplink(1, 1), at(0))

    again = accepted(first.state, uplink(2, 1, age_s=30), at(30))

    assert again.reading is None
    assert isinstance(accept(again.state, uplink(2, 1, age_s=30), at(31)), Repeated)


def test_the_same_counter_with_another_reading_is_an_event() -> None:
    first = accepted(None, uplink(1, 1), at(0))

    assert accepted(first.state, uplink(2, 1, 2300), at(30)).reading is not None


def test_backfill_is_an_event_and_leaves_the_forecast_alone() -> None:
    first = accepted(None, uplink(1, 7), at(600))

    late = accepted(first.state, uplink(2, 3, 1500, BACKFILL, age_s=300), at(605))

    assert late.reading is not None
    assert (late.reading.kind, late.reading.actual_t, late.reading.unix_ms) == ("backfill", 15.0, at(305).unix_ms)
    assert node_state.estimate(late.state, at(605)) == (21.5, 40.0)


def test_an_event_that_was_overtaken_leaves_the_newer_forecast_alone() -> None:
    state = accepted(None, uplink(5, 5, 2150), at(0)).state

    state = accepted(state, uplink(4, 4, 1000), at(1)).state

    assert node_state.estimate(state, at(1)) == (21.5, 40.0)


def test_the_estimate_is_the_trend_evaluated_at_the_samples_own_instant() -> None:
    state = accepted(None, uplink(1, 1, trend=TREND), at(0)).state

    event = accepted(state, uplink(2, 2, 2300, HEARTBEAT, age_s=5), at(605)).reading

    expected = estimate_pair(2150, 4000, TREND, 50, 300, 10)
    assert event is not None
    assert event.kind == "heartbeat"
    assert event.estimate == (expected[0] / 100, expected[1] / 100)


def test_an_event_that_comes_late_is_compared_with_the_estimate_of_its_time() -> None:
    state = accepted(None, uplink(1, 1, 2000), at(0)).state
    state = accepted(state, uplink(2, 3, 2500), at(600)).state

    event = accepted(state, uplink(3, 2, 2200, BACKFILL, age_s=310), at(610)).reading

    assert event is not None
    assert event.estimate == (20.0, 40.0)


def test_an_event_has_the_time_for_which_its_estimate_was_held() -> None:
    first = accepted(None, uplink(1, 1, 2000), at(0))
    second = accepted(first.state, uplink(2, 3, 2500, age_s=45), at(600))
    late = accepted(second.state, uplink(3, 2, 2200, BACKFILL, age_s=310), at(610))
    earlier = accepted(second.state, uplink(3, 0, 2200, BACKFILL, age_s=700), at(610))

    held = [decision.reading and decision.reading.held_ms for decision in (first, second, late, earlier)]

    assert held == [None, 45_000, 300_000, None]  # unknown before the first forecast, and for forgotten ones


def test_an_event_of_unknown_age_has_no_estimate() -> None:
    state = accepted(None, uplink(1, 1), at(0)).state

    event = accepted(state, uplink(2, 2, 2500, BACKFILL, age_s=AGE_LIMIT_S), at(2 * AGE_LIMIT_S)).reading

    assert event is not None
    assert (event.unix_ms, event.clock_synced, event.estimate, event.held_ms) == (None, False, None, None)


@pytest.mark.parametrize(("second", "steps"), [(29.9, 0), (30, 1), (89, 1), (91, 2), (6000, 100)])
def test_the_forecast_moves_on_by_whole_sampling_periods_of_elapsed_time(second: float, steps: int) -> None:
    state = accepted(None, uplink(1, 1, trend=TREND), at(0)).state

    temperature_c, humidity_c = estimate_pair(2150, 4000, TREND, 50, 300, steps)

    assert node_state.estimate(state, at(second)) == (temperature_c / 100, humidity_c / 100)


def test_a_node_gets_the_settings_until_its_frames_show_that_it_uses_them() -> None:
    first = accepted(None, uplink(1, 1, generation=0), at(0), OTHER)
    second = accepted(first.state, uplink(2, 2, generation=0), at(60), OTHER)
    number = node_state.generation_of(OTHER)
    third = accepted(second.state, uplink(3, 3, generation=number), at(120), OTHER)

    assert [one.answer.generation for one in (first, second, third)] == [number] * 3
    assert [one.answer.settings for one in (first, second, third)] == [OTHER, OTHER, None]


def test_changed_settings_are_a_new_generation_and_the_forecast_keeps_those_it_was_made_with() -> None:
    state = accepted(None, uplink(1, 1, generation=0), at(0), WANTED).state
    before, after = node_state.generation_of(WANTED), node_state.generation_of(OTHER)
    state = accepted(state, uplink(2, 2, generation=before, trend=TREND), at(60), WANTED).state

    changed = accepted(state, uplink(3, 3, generation=before, trend=TREND), at(120), OTHER)
    adopted = accepted(changed.state, uplink(4, 4, generation=after, trend=TREND), at(150), OTHER)

    assert (changed.answer.generation, changed.answer.settings) == (after, OTHER)
    assert changed.state.forecasts[0].forecast.settings == WANTED
    assert adopted.state.forecasts[0].forecast.settings == OTHER
    assert adopted.answer.settings is None
    temperature_c, _ = estimate_pair(2150, 4000, TREND, OTHER.beta_t_c, OTHER.beta_h_c, 4)
    estimated = node_state.estimate(adopted.state, at(150 + 4 * OTHER.period_s))
    assert estimated is not None
    assert estimated[0] == temperature_c / 100


@pytest.mark.parametrize("in_force", range(1, 8))
def test_a_gateway_without_memory_never_takes_an_older_generation_for_its_own(in_force: int) -> None:
    answer = accepted(None, uplink(1, 1, generation=in_force), at(0), OTHER).answer

    assert answer.generation not in (0, in_force)
    assert answer.settings == OTHER


def test_generations_come_round_without_ever_being_the_one_in_force() -> None:
    state = None
    for change in range(20):
        wanted = OTHER if change % 2 else WANTED
        decision = accepted(state, uplink(change, change, generation=3), at(60 * change), wanted)
        assert decision.answer.settings == wanted
        assert decision.answer.generation not in (0, 3)
        state = decision.state


def test_trends_of_a_provisioned_node_are_read_with_the_protocols_defaults() -> None:
    state = accepted(None, uplink(1, 1, generation=0), at(0), OTHER).state

    assert state.forecasts[0].forecast.settings == PROVISIONED


def test_the_state_is_the_same_after_dump_and_load() -> None:
    state = accepted(None, uplink(1, 1, trend=TREND, generation=0), at(0), OTHER).state
    state = accepted(state, uplink(2, 2, 1900), at(61.5)).state

    assert node_state.decode_state(node_state.encode_state(state)) == state


def test_a_state_of_an_earlier_version_is_read_with_the_defaults_of_the_settings_that_it_lacks() -> None:
    state = accepted(None, uplink(1, 1, trend=TREND), at(0), OTHER).state
    fields = json.loads(node_state.encode_state(state))
    fields["settings"] = [one and one[:4] for one in fields["settings"]]
    fields["beliefs"] = [[*held[:4], held[4][:4], *held[5:]] for held in fields["beliefs"]]

    loaded = node_state.decode_state(json.dumps(fields).encode())

    meant = NodeSettings(*OTHER[:4], PROVISIONED.heartbeat_min_s, PROVISIONED.tau)
    assert loaded.forecasts[0].forecast.settings == meant
    assert loaded.forecasts[0].forecast.trend == TREND
    assert [one for one in loaded.settings if one is not None] == [meant]


def test_after_a_restart_the_wall_clock_gives_the_age_of_the_forecast() -> None:
    state = accepted(None, uplink(1, 1, trend=TREND, age_s=60), at(60)).state
    later = at(600, session=12, boot_s=555)

    temperature_c, humidity_c = estimate_pair(2150, 4000, TREND, 50, 300, 10)

    assert node_state.estimate(state, later) == (temperature_c / 100, humidity_c / 100)
    revived = node_state.rebase(state, later)
    assert revived.forecasts[0].forecast.sampled_ms == later.elapsed_ms - 600_000
    assert node_state.rebase(revived, at(700, session=12, boot_s=555)) is revived


@pytest.mark.parametrize(
    ("kept", "now"),
    [
        (at(0, synced=False), at(600, session=12)),
        (at(0), at(600, session=12, synced=False)),
        (at(0), at(-600, session=12)),
    ],
)
def test_a_forecast_of_unknown_age_counts_as_just_taken(kept: Instant, now: Instant) -> None:
    state = accepted(None, uplink(1, 1, trend=TREND), kept).state

    temperature_c, humidity_c = estimate_pair(2150, 4000, TREND, 50, 300, 0)

    assert node_state.estimate(state, now) == (temperature_c / 100, humidity_c / 100)


def test_an_unsynced_clock_is_marked_in_the_event_and_never_gives_a_time_before_1970() -> None:
    boot = Instant(5000, False, 5000, SESSION)

    event = accepted(None, uplink(1, 1, age_s=60), boot).reading

    assert event is not None
    assert (event.unix_ms, event.clock_synced) == (0, False)


def test_only_so_many_forecasts_are_kept() -> None:
    state = None
    for number in range(50):
        state = accepted(state, uplink(number, number, 2000 + number), at(60 * number)).state

    assert state is not None
    assert len(state.forecasts) == node_state.FORECASTS_KEPT
    assert state == replace(state, forecasts=state.forecasts[: node_state.FORECASTS_KEPT])


def test_a_state_without_its_forecasts_still_knows_which_frames_were_accepted() -> None:
    state = accepted(accepted(None, uplink(1, 1), at(0)).state, uplink(2, 2), at(60)).state
    assert state.forecasts != ()

    left = node_state.decode_state(node_state.without_forecasts(node_state.encode_state(state)))

    assert left == replace(state, forecasts=())
    assert isinstance(accept(left, uplink(2, 2), at(61)), Repeated)
    assert accepted(left, uplink(3, 2), at(62)).reading is not None  # whether it is known is for the outbox to say


def test_a_reading_that_the_node_was_asked_for_is_no_repetition_even_if_its_forecast_is_known() -> None:
    first = accepted(None, uplink(1, 5), at(0))
    again = accepted(first.state, uplink(2, 5, flags=BACKFILL), at(5))
    assert again.reading is None

    recalled = accepted(again.state, uplink(3, 5, flags=BACKFILL, answers=5), at(9))

    assert recalled.reading is not None
    assert recalled.reading.identity == first.reading.identity  # type: ignore[union-attr]
    assert recalled.state.forecasts == first.state.forecasts


def test_an_estimate_names_the_reading_that_it_follows_from_within_the_epoch() -> None:
    state = accepted(None, uplink(9, 12), at(0)).state
    late = accepted(state, uplink(10, 3, flags=BACKFILL), at(1)).state
    moved = node_state.accept(late, uplink(1, 1, flags=BACKFILL, epoch=EPOCH + 1), b"code", EPOCH + 1, WANTED, at(2))

    assert isinstance(moved, Accepted)
    assert node_state.source(late) == (EPOCH, 12)
    assert node_state.source(moved.state) is None
