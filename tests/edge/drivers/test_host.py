"""The simulated serial port: it behaves like a USB adapter, plugged, unplugged and slow to be read."""

import asyncio
import os
from pathlib import Path

import pytest
import serial

from aoii.edge.drivers import host
from aoii.edge.drivers.host import SimulatedPort


def test_both_ends_receive_each_other(tmp_path: Path) -> None:
    async def talk() -> tuple[bytes, bytes]:
        received: asyncio.Queue[bytes] = asyncio.Queue()
        port = SimulatedPort(tmp_path / "run" / "port", received.put_nowait)
        port.plug()
        with serial.Serial(str(tmp_path / "run" / "port"), 115200, timeout=20) as theirs:
            theirs.write(b"up\x00\n\xff")
            up = await received.get()
            port.write(b"down\x00\r\n\xff")
            down = await asyncio.to_thread(theirs.read, 8)
        port.unplug()
        return up, down

    assert asyncio.run(talk()) == (b"up\x00\n\xff", b"down\x00\r\n\xff")


def test_unplugging_hangs_up_and_plugging_in_makes_the_same_name_work_again(tmp_path: Path) -> None:
    link = tmp_path / "port"

    async def replug() -> bytes:
        received: asyncio.Queue[bytes] = asyncio.Queue()
        port = SimulatedPort(link, received.put_nowait)
        port.plug()
        first = os.open(link, os.O_RDWR | os.O_NOCTTY)
        port.unplug()
        assert not link.exists()
        with pytest.raises(OSError, match="5"):  # EIO
            os.write(first, b"x")
        os.close(first)
        port.plug()
        with serial.Serial(str(link), 115200) as again:
            again.write(b"back")
            return await received.get()

    assert asyncio.run(replug()) == b"back"


def test_bytes_without_a_reader_are_bounded_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "BUFFER_LIMIT_BYTES", 1000)

    async def flood() -> int:
        port = SimulatedPort(tmp_path / "port")
        port.plug()
        for _ in range(10_000):
            port.write(b"x" * 100)
        port.unplug()
        port.write(b"unplugged")
        return port.dropped_bytes

    dropped = asyncio.run(flood())

    assert dropped % 100 == 9  # whole writes, and the one that found no port
    assert dropped > 800_000  # of a million bytes; the kernel keeps some tens of thousands


def test_a_slow_reader_gets_everything_in_order(tmp_path: Path) -> None:
    sent = b"".join(b"%06d\n" % number for number in range(3000))

    async def trickle() -> bytes:
        port = SimulatedPort(tmp_path / "port")
        port.plug()
        with serial.Serial(str(tmp_path / "port"), 115200, timeout=20) as theirs:
            for start in range(0, len(sent), 70):
                port.write(sent[start : start + 70])
            got = await asyncio.to_thread(theirs.read, len(sent))
        port.unplug()
        return got

    assert asyncio.run(trickle()) == sent
