"""The board's files under a real MicroPython: the same source, the same golden vectors, to the bit.

How it is run, and what the interpreter is: tests/board.py.
"""

import json

import pytest

from board import BOARD_FILES, TESTS, Board
from vectors import replay

REPLAY = """
import json
from vectors import replay
with open("/input/vectors/{name}.json") as file:
    cases = json.load(file)
found = []
at = 0
def step():
    global at
    found.extend(replay.replay("{name}", cases[at : at + 1]))
    at += 1
def result():
    return found
"""

LIFE = """
from vectors import replay
life = replay.Life({seed}, {loss}, {sleeps})
def step():
    life.go_on(10)
def result():
    return life.digest()
"""

HEAP = """
import gc
used = []  # before each step, when memory has just been tidied
class Store:
    slots = 128  # as on a board, which has a copy of its slots in RAM
    def __init__(self):
        self.content = bytearray(b"\\xff" * (24 * self.slots))
    def read(self, slot):
        return bytes(self.content[24 * slot : 24 * slot + 24])
    def write(self, slot, record):
        self.content[24 * slot : 24 * slot + 24] = record + bytes(24 - len(record))
def step():
    global node
    used.append(gc.mem_alloc())
    k = len(used)
    if k == 1:
        import aoii.core.link
    elif k == 2:
        import aoii.edge.node
        import aoii.core.learner
    elif k == 3:
        from aoii.edge.node import Node
        from aoii.core.frames import NodeSettings
        from aoii.core.learner import Learner
        settings = NodeSettings(50, 300, 60, 3600, 600, 1)
        node = Node(7, 1, bytes(16), settings, Learner(50, 300), Store(), lambda: 0.5)
    else:
        node.sample(k * 60000, 20 + k * 0.3 % 7, 50)
def result():
    return used[-1] - used[0], node.link.ring.waiting
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return Board(tmp_path_factory.mktemp("board"))


def module_of(file: str) -> str:
    return "aoii." + file.removesuffix(".py").removesuffix("/__init__").removesuffix("__init__").replace("/", ".")


def test_every_file_of_the_board_is_imported(board: Board) -> None:
    modules = [module_of(file).rstrip(".") for file in BOARD_FILES]
    imports = "\n".join(f"import {module}" for module in modules)

    names = board.run(f"import sys\n{imports}\ndef result():\n    return list(sys.modules)")

    assert isinstance(names, list)
    assert set(modules) <= set(names)


@pytest.mark.parametrize("name", replay.FILES)
def test_micropython_agrees_with_the_golden_vectors(board: Board, name: str) -> None:
    cases = json.loads((TESTS / "vectors" / f"{name}.json").read_text(encoding="utf-8"))

    assert board.run(REPLAY.format(name=name), steps=len(cases)) == []


@pytest.mark.parametrize(
    ("seed", "loss", "sleeps"), [(11, 0, False), (12, 60, False), (13, 150, False), (13, 150, True)]
)
def test_a_long_life_on_a_bad_radio_is_the_same_on_both_interpreters(
    board: Board, seed: int, loss: int, sleeps: bool
) -> None:
    here = replay.Life(seed, loss)
    here.go_on(600)

    assert board.run(LIFE.format(seed=seed, loss=loss, sleeps=sleeps), steps=60) == here.digest()


def test_a_vector_that_is_not_met_fails_there_too(board: Board) -> None:
    case = {"arguments": [2000, 0, 0, 0, 50, 0], "estimate_c": 2001}
    code = f"from vectors import replay\ndef result():\n    return replay.replay('trend', [{case!r}])"

    assert board.run(code) != []


def test_an_exception_on_the_board_fails_the_test(board: Board) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        board.run("def result():\n    return 1 // 0")


def test_a_node_with_its_link_store_and_learner_fits_into_61_kb(board: Board) -> None:
    """Code, compiled from source, and state, with more waiting readings than version 0.1 could hold."""
    found = board.run(HEAP, steps=210)

    assert isinstance(found, list)
    used, backlog = found
    assert used <= 61_500
    assert backlog > 64
