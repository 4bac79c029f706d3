"""The shared fleet: what is listed, and what is left when the database is replaced."""

from aoii.runtime.clock import utc
from aoii.server.rows import NodeSummary
from aoii.web.node_settings import NodeSettings
from aoii.web.shared_fleet import SharedFleet
from web.recorded import START_MS, minutes

NODE_SETTINGS = NodeSettings(beta_temp=0.5, beta_hum=3.0, period_s=60, heartbeat_s=3600)
STORED = NodeSummary("9", "roof", 12, utc(START_MS), utc(START_MS))


def test_expected_nodes_are_listed_beside_those_of_the_database() -> None:
    shared = SharedFleet(NODE_SETTINGS, ["3"])

    shared.add_nodes([STORED], is_replaced=False)

    assert shared.names() == ["3", "9"]


def test_the_first_database_keeps_what_the_broker_brought_before() -> None:
    shared = SharedFleet(NODE_SETTINGS, [])
    shared.fleet.add_message(next(iter(minutes("7"))).estimate)

    shared.add_nodes([STORED], is_replaced=False)

    assert shared.names() == ["7", "9"]


def test_another_database_replaces_all_but_the_expected_nodes() -> None:
    shared = SharedFleet(NODE_SETTINGS, ["3"])
    before = shared.fleet
    before.add_message(next(iter(minutes("7"))).estimate)

    shared.add_nodes([STORED], is_replaced=True)

    assert shared.fleet is not before
    assert shared.names() == ["3", "9"]
