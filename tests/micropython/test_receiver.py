"""The receiver's program under a real MicroPython, behind a pseudo-terminal with the real gateway at the other end."""

import contextlib
import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aoii.commands import board_files as builder
from aoii.core.frames import Ack, decode_ack
from board import Board
from gateway.station import EPOCH, KEY, NODE, OwnNode, configured, running, wait_connected
from servers import Mosquitto, pty_port, until

PROGRAM = """
import json, sys
import host
def ask(name, *args):
    answer = json.loads(host.call(name, json.dumps({"args": list(args), "kwargs": {}})))
    if not answer["ok"]:
        raise RuntimeError(answer["error"])
    return answer["value"]
class Port:
    def read(self):
        return bytes.fromhex(ask("read"))
    def write(self, data):
        ask("write", data.hex())
with open("/input/receiver/aoii.json") as file:
    config = json.load(file)
is_over = False
stage = 0
def step():
    global stage, machine, receiver, is_over
    stage += 1
    if stage == 1:
        from parts import esp32, models
        machine = esp32.Machine(models.Clock(5000), config["pins"], lambda data: ask("sent", data.hex()))
        sys.modules["machine"] = machine
    elif stage == 2:
        from aoii.edge import node
    elif stage == 3:
        from aoii.edge.drivers import board
        board.machine = board.time = machine
        receiver = board.build_receiver(config, Port())
    else:
        heard = ask("heard")
        if heard and machine.chip.arrive(bytes.fromhex(heard), -97, -3):
            ask("taken")
        receiver.step()
        if machine.chip.mode == 3:  # only a transmission takes time here, so that a busy machine makes nothing late
            machine.clock.sleep_ms(5)
        is_over = ask("is_over")
def result():
    return [machine.chip.faults]
"""


class Antenna:
    """What the program reaches on this side: the air, and its end of the port."""

    def __init__(self, far: int) -> None:
        self._far = far
        self._in: deque[bytes] = deque()
        self._out: queue.Queue[bytes] = queue.Queue()
        self.text = b""
        self.over = threading.Event()

    def functions(self) -> dict[str, Any]:
        return {
            "read": self._read,
            "write": self._write,
            "heard": lambda: self._in[0].hex() if self._in else "",
            "taken": lambda: self._in.popleft() and None,
            "sent": lambda data: self._out.put(bytes.fromhex(data)),
            "is_over": self.over.is_set,
        }

    def answer(self, data: bytes, fits: Callable[[bytes], bool]) -> bytes:
        """Speak until an answer comes that fits, as a node does: a busy gateway may be too late for the first time."""
        for _ in range(12):
            self._in.append(data)
            with contextlib.suppress(queue.Empty):
                while not fits(found := self._out.get(timeout=5)):
                    pass
                return found
        raise AssertionError(f"no answer to {data!r}")

    def _read(self) -> str:
        ready = select.select([self._far], [], [], 0.002)[0]
        return os.read(self._far, 256).hex() if ready else ""

    def _write(self, data: str) -> None:
        self.text += bytes.fromhex(data)
        os.write(self._far, bytes.fromhex(data))


def frame_of(data: bytes) -> int | None:
    """The frame that is acknowledged, None when this is no acknowledgement for our node."""
    ack = decode_ack(data, NODE, EPOCH, KEY)
    return ack.frame if isinstance(ack, Ack) else None


def test_the_receivers_program_carries_frames_and_old_lines_between_radio_and_gateway(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    disk, link = tmp_path / "disk", tmp_path / "port"
    there = Board(disk)
    builder.write_receiver(builder.Options(disk / "receiver"))
    values = configured(tmp_path / "data", mosquitto.port, "micropython-receiver", link)

    with pty_port(link) as far, running(values) as gateway, ThreadPoolExecutor(1) as pool:
        antenna, node = Antenna(far), OwnNode(far)
        wait_connected(gateway)
        program = pool.submit(there.run, PROGRAM, 10**9, antenna.functions())
        try:
            antenna.answer(node.frame(1, 1), lambda data: frame_of(data) == 1)
            reply = antenna.answer(b"12345,21.50,48.00", lambda data: data[:-1].isdigit())
            antenna.answer(node.frame(2, 2, 2200), lambda data: frame_of(data) == 2)
            until(lambda: b"Sync sent: " in antenna.text, 60)
        finally:
            antenna.over.set()
        found: Any = program.result(timeout=100)

    assert reply.endswith(b"\n")
    assert abs(int(reply) - time.time()) < 300
    assert b"Received: 12345,21.50,48.00\r\n" in antenna.text
    assert found[0] == []
