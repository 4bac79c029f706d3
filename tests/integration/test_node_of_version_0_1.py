"""A node and a gateway of version 0.1 with those of today: over the air, and with the other's flash after a change."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aoii.core.forecast import HOLD
from aoii.core.frames import BACKFILL, EVENT, HEARTBEAT, Ack, NodeSettings, Uplink, decode_uplink, encode_ack
from aoii.core.frames import encode_uplink as encode
from aoii.core.link import Link
from aoii.core.store import NUMBER_SLOTS
from aoii.edge.drivers.board_flash import RING_SLOTS, Files, FlashStore
from integration.test_version_0_1 import version_0_1  # noqa: F401 - a fixture

KEY = bytes(range(16))
SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)
OLD_SLOTS = NUMBER_SLOTS + 64

NODE = """
import json, random, sys
from aoii.core.frames import NodeSettings
from aoii.core.link import Link
from aoii.core.plan import HOLD
from aoii.edge.drivers.board_flash import Files, FlashStore
told = json.load(sys.stdin)
flash = FlashStore(Files(told["folder"]))
link = Link(7, 1, bytes(range(16)), NodeSettings(50, 300, 60, 0, 0, 1), flash, random.Random(1).random)
found = []
for now_ms, kind, ack in told["steps"]:
    if kind:
        link.submit(kind, 2000, 5000, HOLD, 0, 0, now_ms, now_ms)
    taken = link.receive(bytes.fromhex(ack), now_ms) if ack else None
    sends = link.due(now_ms)
    found.append({
        "sent": [send.data.hex() for send in sends], "taken": getattr(taken, "counter", None), "state": link.state,
        "generation": link.generation, "settings": link.settings, "unix_ms": link.clock.unix_ms(now_ms),
        "waiting": sorted(link.backlog._slots), "deadline_ms": link.deadline_ms(),
    })
print(json.dumps([flash.slots, found]))
"""

GATEWAY = """
import json, sys
from aoii.core.frames import MAC_BYTES, NodeSettings, decode_uplink
from aoii.gateway import bridge
from aoii.gateway.events import Instant
state, found = None, []
for data in map(bytes.fromhex, json.load(sys.stdin)):
    uplink = decode_uplink(data, lambda node: bytes(range(16)))
    at = Instant(1_700_000_000_000, True, 0, 1)
    taken = bridge.hear(state, uplink, data[-MAC_BYTES:], 1, NodeSettings(50, 300, 60, 0, 0, 1), at)
    state, event = taken.state, taken.event
    found.append([event.identity.counter, event.kind, event.actual_t, [one.counter for one in state.beliefs]])
print(json.dumps(found))
"""


def old(package: Path, program: str, told: object) -> Any:
    """What a program says under version 0.1."""
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(told), env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ack_of(frame: int, again: int = 0, settings: NodeSettings | None = None) -> str:
    return encode_ack(Ack(7, 1, frame, 1_700_000_000, 0, 3, settings, again), KEY).hex()


def node_of_today(folder: Path) -> Link:
    return Link(7, 1, KEY, SETTINGS, FlashStore(Files(str(folder))), random.Random(1).random)


def deliver(link: Link, now_ms: int, kind: int, again: int = 0) -> int:
    link.submit(kind, 2000, 5000, HOLD, 0, 0, now_ms, now_ms)
    (send,) = link.due(now_ms)
    uplink = decode_uplink(send.data, lambda _: KEY)
    assert isinstance(uplink, Uplink)
    link.receive(bytes.fromhex(ack_of(uplink.frame, again)), now_ms + 100)
    return uplink.counter


@pytest.mark.parametrize("settings", [None, NodeSettings(40, 250, 30, 600, 60, 2)])
def test_an_old_node_takes_an_acknowledgement_that_asks_as_one_that_does_not(
    version_0_1: Path,  # noqa: F811
    tmp_path: Path,
    settings: NodeSettings | None,
) -> None:
    found = []
    for again in (0, 5, 31):
        folder = tmp_path / str(again)
        folder.mkdir()
        steps = [
            [0, EVENT, ""],
            [300, 0, ack_of(1, again, settings)],
            [60_000, EVENT, ""],
            [60_300, 0, ack_of(2, again)],
        ]
        found.append(old(version_0_1, NODE, {"folder": str(folder), "steps": steps})[1])

    assert found[0] == found[1] == found[2]
    assert [step["taken"] for step in found[0]] == [None, 1, None, 2]
    assert found[1][1]["generation"] == (0 if settings is None else 3)
    assert found[1][1]["unix_ms"] is not None


def test_an_old_gateway_takes_an_answer_as_any_other_backfill(version_0_1: Path) -> None:  # noqa: F811
    event = Uplink(7, 1, 9, 9, 0, 2000, 5000, HOLD, EVENT, 1, 0, 0)
    frames = [
        event,
        event._replace(frame=10, counter=3, flags=BACKFILL, age_s=60, answers=5),
        event._replace(frame=11, counter=4, flags=BACKFILL, age_s=60, answers=-(2**31 - 1)),
    ]

    found = old(version_0_1, GATEWAY, [encode(frame, KEY).hex() for frame in frames])

    assert found == [[9, "event", 20.0, [9]], [3, "backfill", 20.0, [9]], [4, "backfill", 20.0, [9]]]


def test_a_node_that_goes_back_to_the_old_firmware_sends_what_waits_and_forgets_what_is_kept(
    version_0_1: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    link = node_of_today(tmp_path)
    kept = [deliver(link, 60_000 * minute, EVENT if minute % 2 else HEARTBEAT) for minute in range(10)]
    for minute in (20, 21):
        link.submit(EVENT, 2000, 5000, HOLD, 0, 0, 60_000 * minute, 60_000 * minute)
        link.due(60_000 * minute)

    slots, (found,) = old(version_0_1, NODE, {"folder": str(tmp_path), "steps": [[0, EVENT, ""]]})

    assert (slots, kept) == (OLD_SLOTS, list(range(1, 11)))
    assert found["waiting"] == [11, 12, 65]


def test_a_node_of_the_old_firmware_is_upgraded_in_place_and_proves_nothing_of_that_time(
    version_0_1: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    steps: list[list[object]] = [[0, EVENT, ""], [300, 0, ack_of(1)]]  # 1 is delivered
    steps += [[60_000, EVENT, ""], [120_000, HEARTBEAT, ""], [120_300, 0, ack_of(3)]]  # 2 waits; 3 is delivered
    _, found = old(version_0_1, NODE, {"folder": str(tmp_path), "steps": steps})

    link = node_of_today(tmp_path)
    floor = link._counters.floor
    waiting = link.ring.waiting
    first = deliver(link, 0, EVENT)
    link = node_of_today(tmp_path)  # the power goes

    assert found[-1]["waiting"] == [2]
    assert (waiting, first, floor, link._counters.floor) == (1, 65, 64, 64)
    assert (tmp_path / "slots.bin").stat().st_size == (NUMBER_SLOTS + RING_SLOTS) * 24
    newest = link.ring.recall(99)
    assert newest is not None
    assert newest.counter == first
