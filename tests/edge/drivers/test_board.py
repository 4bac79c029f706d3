"""The board's wiring on an ESP32 that is a model: a node from start to start, its faults, and the USB port."""

import sys
import types
from datetime import datetime
from pathlib import Path

import pytest

from aoii.core.frames import Uplink, decode_uplink
from aoii.core.link_timing import TIMING
from aoii.edge.drivers.board_radio import DEFAULT_AIR
from aoii.server.edge_log_line import decode_line
from edge.drivers.board_bench import Bench
from parts import esp32, models


def test_a_node_starts_sends_and_sleeps_until_its_next_sample(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, "node", patch)

    for _ in range(20):
        bench.start()

    frames = [decode_uplink(data, lambda _: bench.key) for data in bench.sent]
    assert all(isinstance(frame, Uplink) for frame in frames)
    assert len({frame.frame for frame in frames if isinstance(frame, Uplink)}) > 3
    assert bench.machine.cause == bench.machine.DEEPSLEEP_RESET
    assert bench.errors == []
    assert bench.machine.chip.faults == []
    assert bench.machine.chip.mode == models.SLEEP
    rows = [decode_line(line, datetime.now()) for line in bench.said]  # noqa: DTZ005 - as the log reader calls it
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
def test_the_links_timing_follows_the_airtime(
    tmp_path: Path, patch: pytest.MonkeyPatch, spreading: int, longer_ms: int
) -> None:
    program = Bench(tmp_path, "receiver", patch).program

    timing = program.timing(DEFAULT_AIR._replace(spreading=spreading), 10, True)

    assert timing.ack_window_ms == TIMING.ack_window_ms + longer_ms
    assert (timing.duty_permille, timing.listens) == (10, True)


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
