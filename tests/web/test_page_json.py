"""The JSON for the page: rows follow their columns, and contain what the page uses."""

import json

from aoii.web import page_json
from aoii.web.fleet_settings import FleetSettings
from aoii.web.pipeline_health import HOPS, assess
from aoii.web.points import EstimatePoint, Extremes, Packet, Points, Sample
from aoii.web.summary import Summary


def summary(node: str, *states: str) -> Summary:
    return Summary(node, None, list(states), None, None)  # type: ignore[arg-type]  # names of states


def test_rows_have_the_values_of_their_columns_in_hundredths() -> None:
    points = Points(
        [Sample(1, 20.123, 40.0, 19.999, 41.0, sent=True, heartbeat=False)],
        [EstimatePoint(2, 20.005, 40.0)],
        [Packet(3, 21.0, 42.0, 20.0, 40.0, "event", 1, (5, 6))],
    )

    assert page_json.encode_points(points) == {
        "samples": [[1, 20.12, 40.0, 20.0, 41.0]],
        "estimates": [[2, 20.0, 40.0]],
        "packets": [[3, 21.0, 42.0, 20.0, 40.0, "event", 1]],
    }


def test_a_gap_is_a_row_of_nulls() -> None:
    rows = page_json.encode_rows("extremes", [Extremes(1, 2.0, 3.0, 4.0, 5.0), Extremes(2, None, None, None, None)])

    assert rows == [[1, 2.0, 3.0, 4.0, 5.0], [2, None, None, None, None]]


def test_a_tile_has_all_of_a_summary_but_the_spans_of_a_chart() -> None:
    whole, tile = page_json.encode_summary(summary("7", "dead")), page_json.encode_tile(summary("7", "dead"))

    assert whole is not None
    assert whole.keys() - tile.keys() == {"wrong_spans"}
    assert page_json.encode_summary(None) is None


def test_nodes_are_counted_by_their_worst_state_the_worst_first() -> None:
    nodes = [summary("1", "correct"), summary("2", "dead", "low_battery"), summary("3", "correct")]

    assert list(page_json.encode_states(nodes).items()) == [("dead", 1), ("correct", 2)]


def test_the_pipeline_has_its_hops_in_order_and_names_the_worst() -> None:
    health = assess([], "locked", None)

    content = page_json.encode_pipeline(health)

    assert json.loads(json.dumps(content)).keys() == {"hops", "others", "dead_letters"}
    assert [hop["name"] for hop in content["hops"]] == list(HOPS)  # type: ignore[attr-defined]  # JSON
    assert page_json.encode_worst(health) == {"state": "down", "hops": ["database"]}


def test_the_settings_say_when_a_simulation_is_too_fast_to_judge() -> None:
    slow, fast = (FleetSettings(0.5, 3.0, 60, 3600, speed=speed) for speed in (1, 3600))

    assert page_json.encode_settings(slow, is_simulated=False)["coarse"] is False
    assert page_json.encode_settings(fast, is_simulated=True)["coarse"] is True
