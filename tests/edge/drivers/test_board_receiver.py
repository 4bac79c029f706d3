"""The receiver on its board: both directions at once, listen before talk, and its duty cycle."""

from pathlib import Path

import pytest

from aoii.core.stream import DOWNLINK, encode_usb
from aoii.edge.drivers.board_radio import DEFAULT_AIR, airtime_ms
from edge.drivers.board_bench import Bench

FRAME = b"\x11\x07\x00" + bytes(range(29))


class Port:
    """The receiver's USB port: what the gateway says, and what it is told."""

    def __init__(self) -> None:
        self.down = b""
        self.up = b""

    def read(self) -> bytes:
        chunk, self.down = self.down[:7], self.down[7:]
        return chunk

    def write(self, data: bytes) -> None:
        self.up += data


@pytest.mark.parametrize("listens", [False, True])
def test_a_receiver_takes_bytes_from_the_port_while_it_sends(
    tmp_path: Path, patch: pytest.MonkeyPatch, listens: bool
) -> None:
    bench, port = Bench(tmp_path, "receiver", patch, listens=listens), Port()
    bench.program.machine = bench.program.time = bench.machine
    receiver = bench.program.build_receiver(bench.config, port)
    answers = [bytes((0x11, number)) * 11 for number in range(3)]

    port.down = b"".join(encode_usb(DOWNLINK, answer) for answer in answers)
    for _ in range(400):
        if not receiver.step():
            bench.clock.sleep_ms(bench.program.POLL_MS)
    received = bench.machine.chip.arrive(FRAME, -97, -3)
    receiver.step()

    assert bench.sent == answers
    assert received
    assert port.up.startswith(b"\0")
    assert bench.machine.chip.faults == []


def test_a_receiver_that_must_listen_lets_an_answer_go_when_the_channel_stays_taken(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    bench, port = Bench(tmp_path, "receiver", patch, listens=True), Port()
    bench.program.machine = bench.program.time = bench.machine
    bench.machine.chip.level_dbm = -50
    receiver = bench.program.build_receiver(bench.config, port)

    port.down = encode_usb(DOWNLINK, FRAME)
    for _ in range(1000):
        receiver.step()
        bench.clock.sleep_ms(2)

    assert bench.sent == []
    assert receiver.bridge.dropped == 1


def test_a_receiver_keeps_its_duty_cycle(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    bench, port = Bench(tmp_path, "receiver", patch, duty_permille=1), Port()
    bench.program.machine = bench.program.time = bench.machine
    receiver = bench.program.build_receiver(bench.config, port)

    for _ in range(20):
        port.down = encode_usb(DOWNLINK, FRAME)
        for _ in range(100):
            receiver.step()
            bench.clock.sleep_ms(20)

    assert len(bench.sent) == 1800 // airtime_ms(DEFAULT_AIR, 32)  # half an hour's thousandth at once
    assert receiver.bridge.dropped >= 12


def test_a_transmission_that_never_ends_does_not_silence_the_receiver(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    bench, port = Bench(tmp_path, "receiver", patch), Port()
    bench.program.machine = bench.program.time = bench.machine
    receiver = bench.program.build_receiver(bench.config, port)
    bench.machine.chip.is_deaf = True

    port.down = encode_usb(DOWNLINK, FRAME)
    for _ in range(1000):
        receiver.step()
        bench.clock.sleep_ms(5)

    assert bench.machine.chip.arrive(FRAME, -97, -3)
    receiver.step()
    assert port.up
