"""The board's wiring on an ESP32 that is a model: its life from start to start, its receiver, and how it fails."""

import importlib
import json
import sys
import types
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from aoii.commands import board as builder
from aoii.core.frames import Uplink, decode_uplink
from aoii.core.link_timing import TIMING
from aoii.core.stream import DOWNLINK, encode_usb
from aoii.edge.drivers import board_flash
from aoii.edge.drivers.board_radio import DEFAULT_AIR, airtime_ms
from aoii.security import node_keys
from aoii.server.edge_log_line import read_line
from parts import esp32, models

FRAME = b"\x11\x07\x00" + bytes(range(29))


class Bench:
    """A board with its file set, and everything that a start of it needs."""

    def __init__(self, folder: Path, role: str, patch: pytest.MonkeyPatch, **change: object) -> None:
        self.keys_file = folder / "keys"
        options = builder.Options(folder / "out")
        if role == "node":
            builder.make_node(options, 7, self.keys_file)
        else:
            builder.make_receiver(options)
        self.config: dict[str, Any] = json.loads((folder / "out" / "aoii.json").read_text()) | change
        self.path = folder / "aoii.json"
        self.path.write_text(json.dumps(self.config))
        self.clock = models.Clock(5000)
        self.sent: list[bytes] = []
        self.machine = esp32.Machine(self.clock, self.config["pins"], self.sent.append)
        patch.setitem(sys.modules, "machine", self.machine)
        self.program: Any = importlib.import_module("aoii.edge.drivers.board")
        self.modules = (self.program, board_flash)
        self.said: list[str] = []
        patch.setattr(self.program, "print", self.said.append, raising=False)
        self.errors: list[Exception] = []
        patch.setattr(self.program, "sys", types.SimpleNamespace(print_exception=self.errors.append))

    def start(self) -> None:
        """One start of the board, to its next sleep."""
        esp32.boot(self.machine, self.modules, str(self.path))


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    sys.modules.pop("aoii.edge.drivers.board", None)
    yield monkeypatch
    sys.modules.pop("aoii.edge.drivers.board", None)
    vars(board_flash).pop("open", None)  # `esp32.boot` put the board's disk there


def test_a_node_starts_sends_and_sleeps_until_its_next_sample(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, "node", patch)
    key = node_keys.load(bench.keys_file)[7]

    for _ in range(20):
        bench.start()

    frames = [decode_uplink(data, lambda _: key.key) for data in bench.sent]
    assert all(isinstance(frame, Uplink) for frame in frames)
    assert len({frame.frame for frame in frames if isinstance(frame, Uplink)}) > 3
    assert bench.machine.cause == bench.machine.DEEPSLEEP_RESET
    assert bench.errors == []
    assert bench.machine.chip.faults == []
    assert bench.machine.chip.mode == models.SLEEP
    rows = [read_line(line, datetime.now()) for line in bench.said]  # noqa: DTZ005 - as the log reader calls it
    samples = [row for row in rows if row is not None and row.node == "7" and row.total_heap == 110_000]
    assert len(samples) == len(bench.said) == (bench.clock.now_ms() - 5000) // 60_000  # none twice, none left out


def test_a_fault_is_printed_and_the_board_begins_again_later(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, "node", patch)
    bench.machine.chip.version = 0
    before_ms = bench.clock.now_ms()

    bench.start()

    assert "no SX127x answers" in str(bench.errors[0])
    assert bench.clock.now_ms() - before_ms >= bench.program.RESTART_MS
    bench.machine.chip.version = 0x12
    bench.start()
    assert len(bench.sent) >= 1


def test_a_node_on_mains_supply_stays_awake(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, "node", patch, deep_sleep=False)

    def end() -> None:
        raise esp32.Slept

    bench.clock.schedule(400_000, end)
    bench.start()

    assert bench.machine.cause == bench.machine.PWRON_RESET
    assert len(bench.said) == 7


def test_a_node_that_must_listen_waits_for_a_free_channel(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, "node", patch, listens=True)
    bench.machine.chip.level_dbm = -50
    bench.clock.schedule(30_000, lambda: setattr(bench.machine.chip, "level_dbm", -120))

    while not bench.sent:
        bench.start()

    assert bench.clock.now_ms() > 30_000
    assert bench.machine.chip.faults == []


@pytest.mark.parametrize(("spreading", "longer_ms"), [(7, 0), (9, 0), (12, 2 * (1811 - 247))])
def test_the_links_patience_follows_the_airtime(
    tmp_path: Path, patch: pytest.MonkeyPatch, spreading: int, longer_ms: int
) -> None:
    program = Bench(tmp_path, "receiver", patch).program

    timing = program.timing(DEFAULT_AIR._replace(spreading=spreading), 10, True)

    assert timing.ack_window_ms == TIMING.ack_window_ms + longer_ms
    assert (timing.duty_permille, timing.listens) == (10, True)


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
    heard = bench.machine.chip.arrive(FRAME, -97, -3)
    receiver.step()

    assert bench.sent == answers
    assert heard
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


def test_the_usb_port_is_raw_bytes_after_a_moment_for_ctrl_c(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, "receiver", patch)
    waiting = [b"\x03", b"\x00", b"\n"]
    written: list[bytes] = []
    interrupts: list[int] = []
    stdin = types.SimpleNamespace(buffer=types.SimpleNamespace(read=lambda size: waiting.pop(0)))
    stdout = types.SimpleNamespace(buffer=types.SimpleNamespace(write=written.append))
    poll = types.SimpleNamespace(register=lambda *_: None, poll=lambda _: waiting)
    patch.setitem(sys.modules, "select", types.SimpleNamespace(poll=lambda: poll, POLLIN=1))
    patch.setitem(sys.modules, "micropython", types.SimpleNamespace(kbd_intr=interrupts.append))
    patch.setattr(bench.program, "sys", types.SimpleNamespace(stdin=stdin, stdout=stdout))
    patch.setattr(bench.program, "time", bench.machine)
    before_ms = bench.clock.now_ms()

    port = bench.program.UsbPort()
    found = port.read()
    port.write(b"\x00\n")

    assert (found, port.read(), written, interrupts) == (b"\x03\x00\n", b"", [b"\x00\n"], [-1])
    assert bench.clock.now_ms() - before_ms == bench.program.GRACE_MS
