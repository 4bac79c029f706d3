"""The simulated receiver: frames go to the gateway, replies come back, and what was acknowledged is recorded."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import serial

from aoii.core import frames, stream
from aoii.core.forecast import HOLD, PROVISIONED, Forecast
from aoii.core.frames import BACKFILL, EVENT, Ack, Uplink
from aoii.security.node_keys import NodeKey
from aoii.simulation import receiver
from aoii.simulation.receiver import Receiver

KEY = bytes(range(16))
UPLINK = Uplink(7, 1, 5, 40, 0, 2150, 4800, HOLD, EVENT, 0, 0, 0)
NOW_MS = 90_000


def encoded(uplink: Uplink = UPLINK) -> bytes:
    return frames.encode_uplink(uplink, KEY)


def acked(uplink: Uplink = UPLINK, key: bytes = KEY) -> bytes:
    return frames.encode_ack(Ack(uplink.node, uplink.epoch, uplink.frame, 0, 0, 0, None, 0), key)


class Gateway:
    """The far end of the port: what it read, and what it writes."""

    def __init__(self, link: Path) -> None:
        self._port = serial.Serial(str(link), 115200, timeout=20)
        self._reader = stream.Reader()

    async def frame(self) -> bytes:
        """The next radio frame that the receiver passed on."""
        while True:
            for found in self._reader.feed(await asyncio.to_thread(self._port.read, 1)):
                assert isinstance(found, stream.Frame)
                return found.content[2:]

    def send(self, data: bytes) -> None:
        self._port.write(stream.encode_usb(stream.DOWNLINK, data))


def with_gateway(folder: Path, act: Callable[[Receiver, Gateway], Awaitable[None]]) -> Receiver:
    """Act on a plugged receiver and its gateway; the receiver afterwards."""
    tested = Receiver(folder / "port", folder / "record.csv", {7: NodeKey(1, KEY)})

    async def run() -> None:
        tested.plug()
        await act(tested, Gateway(folder / "port"))
        tested.unplug()

    asyncio.run(run())
    return tested


def test_a_frame_reaches_the_gateway_and_its_acknowledgement_comes_back(tmp_path: Path) -> None:
    async def talk(tested: Receiver, gateway: Gateway) -> None:
        pending = tested.forward(encoded(), NOW_MS)
        assert pending is not None
        assert await gateway.frame() == encoded()
        gateway.send(acked())
        assert await tested.reply(pending) == acked()

    tested = with_gateway(tmp_path, talk)

    assert tested.forecasts == {7: Forecast(2150, 4800, HOLD, PROVISIONED, NOW_MS)}
    assert (tmp_path / "record.csv").read_text() == "7,1,40\n"


def test_a_repeated_acknowledgement_is_recorded_once_and_a_late_or_old_reading_leaves_the_forecast(
    tmp_path: Path,
) -> None:
    older = UPLINK._replace(frame=4, counter=39, temperature_c=100)
    backlog = UPLINK._replace(frame=6, counter=38, temperature_c=200, age_s=60, flags=BACKFILL)

    async def talk(tested: Receiver, gateway: Gateway) -> None:
        for uplink in (UPLINK, UPLINK, older, backlog):
            pending = tested.forward(encoded(uplink), NOW_MS)
            assert pending is not None
            gateway.send(acked(uplink))
            assert await tested.reply(pending) == acked(uplink)

    tested = with_gateway(tmp_path, talk)

    assert tested.forecasts[7].temperature_c == 2150
    assert (tmp_path / "record.csv").read_text() == "7,1,40\n7,1,39\n7,1,38\n"


def test_a_silent_gateway_costs_the_wait_once_and_then_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "REPLY_WAIT_S", 0.0)
    waits: list[float] = []

    async def talk(tested: Receiver, gateway: Gateway) -> None:
        for _ in range(2):
            pending = tested.forward(encoded(), NOW_MS)
            assert pending is not None
            waits.append(pending.deadline_s - asyncio.get_running_loop().time())
            assert await tested.reply(pending) is None

    tested = with_gateway(tmp_path, talk)

    assert waits[0] <= 0 < waits[1] <= receiver.SILENT_WAIT_S
    assert tested.forecasts == {}


def test_an_acknowledgement_with_a_wrong_code_counts_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "REPLY_WAIT_S", 0.2)

    async def talk(tested: Receiver, gateway: Gateway) -> None:
        pending = tested.forward(encoded(), NOW_MS)
        assert pending is not None
        gateway.send(acked(key=bytes(16)))
        assert await tested.reply(pending) is None

    tested = with_gateway(tmp_path, talk)

    assert tested.forecasts == {}
    assert (tmp_path / "record.csv").read_text() == ""
    assert [record.message for record in caplog.records] == ["gateway sent a bad acknowledgement"]


def test_an_unplugged_receiver_forwards_nothing(tmp_path: Path) -> None:
    tested = Receiver(tmp_path / "port", None, {7: NodeKey(1, KEY)})

    assert not tested.is_plugged
    assert tested.forward(encoded(), NOW_MS) is None
