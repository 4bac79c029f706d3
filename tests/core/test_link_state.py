"""What a link remembers survives as bytes, and their number is always the same."""

from hypothesis import given
from hypothesis import strategies as st

from aoii.core.forecast import Forecast, NodeSettings, Trend
from aoii.core.frames import EVENT, LOW_BATTERY, Uplink
from aoii.core.link_state import (
    FORECAST_BYTES,
    LinkState,
    PendingReading,
    SentFrames,
    dump_forecast,
    load_forecast,
)

U8, U16, U32, I8, I32 = (
    st.integers(0, 0xFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(-128, 127),
    st.integers(-(2**31), 2**31 - 1),
)
TIME = st.integers(-(2**62), 2**62)
node_settings = st.builds(NodeSettings, U16, U16, U16, U16, U16, U8)
forecasts = st.builds(
    Forecast, st.integers(-0x8000, 0x7FFF), U16, st.builds(Trend, I8, I8, I8, I8, U8), node_settings, TIME
)
pending_readings = st.builds(PendingReading, U32, U8, forecasts, U8, U8, U8, I32)
frames = st.builds(SentFrames, U32, U32, U32)
SETTINGS = NodeSettings(50, 300, 60, 3600, 600, 1)


@given(st.none() | forecasts, st.binary(max_size=3))
def test_a_forecast_survives_a_sleep(forecast: Forecast | None, before: bytes) -> None:
    state = dump_forecast(forecast)

    assert len(state) == FORECAST_BYTES
    assert load_forecast(before + state, len(before)) == forecast


@given(st.none() | pending_readings, node_settings, frames, frames, st.none() | TIME, U32)
def test_the_memory_of_a_link_survives_a_sleep(
    pending: PendingReading | None,
    settings: NodeSettings,
    sent: SentFrames,
    superseded: SentFrames,
    last_ack_ms: int | None,
    rejected: int,
) -> None:
    state, woken = LinkState(settings), LinkState(SETTINGS)
    state.pending, state.sent, state.superseded = pending, sent, superseded
    state.last_ack_ms, state.rejected, state.generation = last_ack_ms, rejected, 5

    end = woken.load(b"\0\0" + state.dump(), 2)

    assert vars(woken) == vars(state)
    assert end == 2 + len(LinkState(SETTINGS).dump())


def test_a_reading_becomes_an_uplink_with_its_kind_and_flags() -> None:
    trend = Trend(1, 2, 3, 4, 1)
    pending = PendingReading(9, EVENT, Forecast(2000, 5000, trend, SETTINGS, 0), LOW_BATTERY, 3, 140, 0)

    uplink = pending.uplink(7, 2, 11, 60)

    assert uplink == Uplink(7, 2, 11, 9, 60, 2000, 5000, trend, EVENT | LOW_BATTERY, 3, 140, 0)


def test_frames_of_a_reading_are_those_between_the_first_and_the_last() -> None:
    assert [number for number in range(20) if SentFrames(9, 5, 8).include(number)] == [5, 6, 7, 8]
    assert not any(SentFrames(9, 1, 0).include(number) for number in range(20))
