"""The board's program under a real MicroPython, on the models of its parts: drivers, sleeps, boot, and its heap."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aoii.commands import board_files as builder
from aoii.core.frames import EVENT, LOW_BATTERY, Uplink, decode_uplink
from aoii.core.learner import Learner
from aoii.security.node_keys import NodeKey
from aoii.simulation import recordings
from board import Board
from parts import bench
from parts.world import Counting, World, walk

BENCH = """
from parts import bench
found = []
def step():
    at = len(found)
    if at < len(bench.AIRS):
        found.append(bench.radio(bench.AIRS[at]))
    else:
        found.append((bench.silent_radio, bench.sensor, bench.flash)[at - len(bench.AIRS)]())
def result():
    return found
"""

LIFE = """
from parts.world import Counting, World, walk
world = World(walk({minutes}), {loss}, {is_deep}, Counting)
def step():
    world.go_on(1)
def result():
    return [world.digest(), world.learned().decode(), world.starts - world.wakes]
"""

LEARNING = """
world = None
def step():
    global world
    if world is None:
        from aoii.core.learner import Learner
        from parts.world import World
        world = World({readings}, 0, {is_deep}, Learner, 1)
    else:
        world.step()
def result():
    return [world.digest(), world.clock.now_ms(), world.starts]
"""

BOOT = """
import json, sys
sys.path.insert(0, "/input/node")
sys.path.append("/input")
CONFIG = "/input/node/aoii.json"
with open(CONFIG) as file:
    pins = json.load(file)["pins"]
sent = []
stage = 0
def step():
    global stage, machine, modules
    stage += 1
    if stage == 1:
        from parts import esp32, models
        machine = esp32.Machine(models.Clock(5000), pins, lambda data: sent.append(data.hex()))
        sys.modules["machine"] = machine
    elif stage == 2:
        from aoii.core import frames, link
    elif stage == 3:
        from aoii.edge import node
    elif stage == 4:
        from aoii.edge.drivers import board, board_flash
        modules = (board, board_flash)
    else:
        from parts import esp32
        machine.aht20.temperature = 21.5 + stage / 100
        esp32.boot(machine, modules, CONFIG)
def result():
    return [sent, machine.clock.now_ms(), sorted(machine.disk.files), machine.chip.faults]
"""

HEAP = """
import gc
used = []
stage = 0
def step():
    global stage, learner, node
    used.append(gc.mem_alloc())
    stage += 1
    if stage == 1:
        from aoii.edge import node
    elif stage == 2:
        from aoii.core import learner
    elif stage == 3:
        from aoii.core.frames import NodeSettings
        from aoii.core.forecast import PROVISIONED
        from aoii.core.store import RamStore
        from aoii.edge.node import Node
        node = Node(7, 1, bytes(16), PROVISIONED, learner.Learner(50, 300), RamStore(), lambda: 0.5)
    elif stage == 4:
        from aoii.edge.drivers import board_flash, board_sensor
    elif stage == 5:
        from aoii.edge.drivers import board_radio
    elif stage == 6:
        from aoii.edge.drivers import board_node
    elif stage == 7:
        from aoii.edge.drivers import board
def result():
    return used
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return Board(tmp_path_factory.mktemp("board"))


def test_the_drivers_do_the_same_to_their_parts(board: Board) -> None:
    here = json.loads(json.dumps(bench.results()))

    assert board.run(BENCH, steps=len(here)) == here


@pytest.mark.parametrize("is_deep", [False, True])
def test_a_node_that_sleeps_deeply_is_there_too_the_one_that_never_slept(board: Board, is_deep: bool) -> None:
    here = World(walk(90), 60, False, Counting)
    here.go_on(90)

    found: Any = board.run(LIFE.format(minutes=90, loss=60, is_deep=is_deep), steps=90)

    assert found == [here.digest(), here.learned().decode(), 1]


def test_so_it_is_with_the_learner_on_a_recording(board: Board) -> None:
    (series,) = recordings.parse()
    readings = list(zip(series.temperature_c, series.humidity_c, strict=True))[900:1000]  # an afternoon
    here = World(readings, 0, False, Learner)

    awake: Any = board.run(LEARNING.format(readings=readings, is_deep=False), steps=80)
    asleep: Any = board.run(LEARNING.format(readings=readings, is_deep=True), steps=80)
    for _ in range(79):  # the first step there imports
        here.step()

    assert asleep[2] > 60
    assert (asleep[0], asleep[1]) == (awake[0], awake[1]) == (here.digest(), here.clock.now_ms())


def test_what_is_written_for_a_board_boots_and_the_gateway_accepts_its_frames(tmp_path: Path) -> None:
    disk, key = tmp_path / "disk", NodeKey(1, bytes(range(16)))
    there = Board(disk)
    builder.write_node(builder.Options(disk / "node"), 7, key)
    assert "run()" in (disk / "node" / "main.py").read_text()

    found: Any = there.run(BOOT, steps=10)
    sent, _, files, faults = found

    uplink = decode_uplink(bytes.fromhex(sent[0]), lambda _: key.key)
    assert isinstance(uplink, Uplink)
    assert (uplink.node, uplink.epoch, uplink.temperature_c, uplink.flags) == (7, 1, 2155, EVENT)
    assert not uplink.flags & LOW_BATTERY
    assert uplink.battery == 140  # 3.8 V
    assert len(sent) > 3  # there is no answer
    assert "/slots.bin" in files
    assert faults == []


def test_the_program_fits_into_the_heap(board: Board) -> None:
    """Figures of docs/explanation/board.md, in bytes, counted with the code, compiled from source."""
    used: Any = board.run(HEAP, steps=8)

    node, learner, state, flash, radio, life, wiring = [after - before for before, after in pairwise(used)]
    assert node + learner + state < 61_500
    assert flash + radio + life + wiring < 30_000
