"""The learner under a real MicroPython: the golden trace to the bit, the heap it takes, and what one sample costs."""

import json

import pytest

from board import TESTS, Board

LEARN = """
import json, hashlib, binascii
from aoii.core.learner import Learner
with open("/input/vectors/learner.json") as file:
    case = json.load(file)
learner = Learner(case["epsilon_c"][0], case["epsilon_c"][1])
trends = []
def step():
    for sample in case["samples"][len(trends) : len(trends) + 2]:
        learner.observe(sample[0], sample[1], sample[2], sample[3])
        trends.append(list(learner.trend(0, 0)))
def result():
    return trends, binascii.hexlify(hashlib.sha256(learner.dump()).digest()).decode()
"""

SLEEP = """
from aoii.core.learner import Learner
awake = Learner(50, 300)
readings = [(2000 + k * k % 77, 5000 - k * 31 % 113) for k in range(40)]
k = 0
def step():
    global k
    awake.observe(readings[k][0], readings[k][1], 1, None)
    k += 1
def result():
    woken = Learner(50, 300)
    loaded = woken.load(awake.dump())
    return loaded, woken.dump() == awake.dump(), list(woken.trend(0, 0)) == list(awake.trend(0, 0))
"""

HEAP = """
import gc
used = []  # before each step, when memory has just been tidied
rubbish = []
def step():
    global learner
    used.append(gc.mem_alloc())
    k = len(used)
    if k == 1:
        from aoii.core import forecast
    elif k == 2:
        from aoii.core.learner import Learner
    elif k == 3:
        from aoii.core.learner import Learner
        learner = Learner(50, 300)
    else:
        learner.observe(2000 + k * k % 77, 5000 - k * 31 % 113, 1, 60000 * k)
        rubbish.append(gc.mem_alloc() - used[-1])
def result():
    return used[2] - used[1], used[-1] - used[2], max(rubbish)
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return Board(tmp_path_factory.mktemp("board"))


def test_micropython_learns_the_golden_trace_to_the_bit(board: Board) -> None:
    case = json.loads((TESTS / "vectors" / "learner.json").read_text(encoding="utf-8"))

    assert board.run(LEARN, steps=len(case["samples"]) // 2) == [case["trends"], case["state"]]


def test_a_board_that_slept_goes_on_as_if_it_had_been_awake(board: Board) -> None:
    assert board.run(SLEEP, steps=40) == [True, True, True]


def test_code_and_state_leave_room_in_the_heap(board: Board) -> None:
    """Figures of docs/explanation/learning.md; floats are boxed there as on an ESP32, 16 bytes each."""
    found = board.run(HEAP, steps=30)

    assert isinstance(found, list)
    code, state, rubbish = found
    assert code < 18_000
    assert state < 9_000
    assert rubbish < 300_000  # collected as the board goes, not held at once
