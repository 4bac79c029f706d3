"""The pages about the link and the wire format say what the code does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aoii.core import frames, link, stream
from aoii.core.forecast import GROWTH, LAST
from aoii.core.link_timing import TIMING
from aoii.core.store import BLOCK, NUMBER_SLOTS, RamStore
from state_diagrams import comments

ROOT = Path(__file__).parents[2]
LINK = (ROOT / "docs" / "explanation" / "link.md").read_text(encoding="utf-8")
WIRE = (ROOT / "docs" / "reference" / "wire-format.md").read_text(encoding="utf-8")


def transitions() -> str:
    """The table of transitions as it stands on the page."""
    lines = ["| State | Event | Next state | Action | What is done |", "|---|---|---|---|---|"]
    lines += [
        f"| {state} | {event} | {after} | {action.replace('_', ' ')} | {comments(link)[action]} |"
        for (state, event), (after, action) in link.RULES.items()
    ]
    return "\n".join(lines)


def vectors(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((ROOT / "tests" / "vectors" / f"{name}.json").read_text(encoding="utf-8"))
    return cases


def test_the_page_has_the_table_of_transitions() -> None:
    assert transitions() in LINK


def test_the_page_has_the_numbers_of_the_link() -> None:
    timing = TIMING

    assert f"receive window is {timing.ack_window_ms // 1000} s" in LINK
    assert f"pause of {timing.backoff_ms // 1000} s, doubled" in LINK
    assert f"up to {timing.backoff_limit_ms // 1000} s, each" in LINK
    assert f"up to {timing.backlog_pause_ms // 1000} s between packets" in LINK
    assert f"take {timing.airtime_ms} and 206 ms" in LINK
    assert f"duty cycle of {timing.duty_permille // 10} % of any hour" in LINK
    assert f"blocks of {BLOCK}," in LINK
    assert f"({RamStore().slots - NUMBER_SLOTS} readings by default)" in LINK
    assert link.FRESH_PERMILLE == 400
    assert "four tenths of a sampling period" in LINK


@pytest.mark.parametrize("name", ["uplinks", "acks"])
def test_every_accepted_vector_of_the_radio_is_shown_with_its_name(name: str) -> None:
    shown = [case for case in vectors(name) if "reason" not in case]

    assert all(f"{case['name']}" in WIRE and spaced(case["bytes"]) in WIRE for case in shown)


def test_the_vectors_of_the_stream_that_are_shown_are_the_tested_ones() -> None:
    shown = [case for case in vectors("stream") if "sent" in case]

    assert all(case["name"] in WIRE and spaced(case["bytes"]) in WIRE for case in shown)


def test_the_trends_that_are_shown_are_the_tested_ones() -> None:
    tested = {(*case["arguments"], case["estimate_c"]) for case in vectors("trend")}

    rows = re.findall(r"^\| (-?\d+) \| (-?\d+) \| (-?\d+) \| (\d) \| (\d+) \| (\d+) \| (-?\d+) \|$", WIRE, re.MULTILINE)

    assert len(rows) > 3
    assert {tuple(map(int, row)) for row in rows} <= tested


def test_the_page_lists_every_reason_and_nothing_else() -> None:
    tables = re.findall(r"^\| Reason \|.*?\n\n", WIRE, re.MULTILINE | re.DOTALL)

    listed = [re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in tables]

    assert sorted(listed[0]) == sorted(frames.REASONS)
    assert sorted(listed[1]) == sorted(stream.REASONS)


def test_the_page_has_the_numbers_of_the_code() -> None:
    assert f"stands still from k = {LAST} on at {GROWTH[LAST]}," in WIRE
    assert f"{frames.AGE_LIMIT_S}: older, or unknown" in WIRE
    assert f"version 1: {frames.UPLINK_BYTES} bytes" in WIRE
    assert f"version 1: {frames.ACK_BYTES} bytes, {frames.ACK_WITH_SETTINGS_BYTES} with settings" in WIRE
    assert f"at most {stream.LINE_LIMIT} bytes" in WIRE
    assert f"at most {stream.FRAME_LIMIT} bytes" in WIRE


def spaced(digits: str) -> str:
    """Hexadecimal digits as the page shows them: groups of eight."""
    return " ".join(digits[at : at + 8] for at in range(0, len(digits), 8))
