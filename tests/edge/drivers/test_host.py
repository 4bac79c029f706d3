"""The simulated serial port: it behaves like a USB adapter, plugged, unplugged and slow to be read."""

import asyncio
import os
from pathlib import Path

import pytest
import serial

from aoii.core.store import SLOT_BYTES, CounterAllocator
from aoii.edge.drivers import host
from aoii.edge.drivers.host import FileStore, SimulatedPort


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


def test_flash_in_a_file_is_blank_at_first_and_survives_the_process(tmp_path: Path) -> None:
    first = FileStore(tmp_path / "flash" / "node-1.flash")
    blank = first.read(5)
    first.write(5, b"record")
    first.close()

    second = FileStore(tmp_path / "flash" / "node-1.flash")

    assert blank == b"\xff" * SLOT_BYTES
    assert second.read(5).rstrip(b"\0") == b"record"
    assert second.read(6) == b"\xff" * SLOT_BYTES
    second.close()


def test_numbers_of_a_simulated_node_never_repeat_after_a_restart(tmp_path: Path) -> None:
    used: list[int] = []
    for _ in range(5):
        store = FileStore(tmp_path / "node-1.flash")
        numbers = CounterAllocator(store, 1, 1)
        used += [numbers.next_counter() for _ in range(100)]
        store.close()

    assert used == sorted(set(used))
