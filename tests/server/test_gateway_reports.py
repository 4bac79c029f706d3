"""What gateways have reported: files that become older, and numbers that only grow; on both engines."""

from collections.abc import Iterator

import pytest

from aoii.broker.repair_messages import Holding, Report
from aoii.server.connection import open_pool
from aoii.server.db import open_database
from aoii.server.gateway_reports import GatewayNumbers, GatewayReports
from aoii.settings import Database as DatabaseSettings

FILE, OTHER = "0" * 16, "f" * 16


@pytest.fixture
def reports(place: DatabaseSettings) -> Iterator[GatewayReports]:
    open_database(place, migrate=True).close()
    pool = open_pool(place, create=False)
    yield GatewayReports(pool)
    pool.close()


def report(file: str, seq: int, *holdings: Holding) -> Report:
    return Report(file, seq, 0, holdings)


def test_only_a_file_whose_sequence_falls_is_an_older_copy(reports: GatewayReports) -> None:
    steps = [(FILE, 10), (FILE, 10), (FILE, 12), (FILE, 11), (FILE, 11), (FILE, 12), (OTHER, 1), (OTHER, 2)]

    fell = [reports.record("attic", report(file, seq)) for file, seq in steps]

    assert fell == [False, False, False, True, False, False, False, False]
    assert [(one.gateway, one.file, one.seq) for one in reports.files()] == [("attic", OTHER, 2)]


def test_each_gateway_has_a_file_of_its_own(reports: GatewayReports) -> None:
    reports.record("attic", report(FILE, 10))

    assert not reports.record("barn", report(FILE, 3))
    assert [(one.gateway, one.seq) for one in reports.files()] == [("attic", 10), ("barn", 3)]


def test_a_node_is_known_by_the_lowest_and_highest_number_ever_reported(reports: GatewayReports) -> None:
    reports.record("attic", report(FILE, 1, Holding("7", 1, 5, 90, 3), Holding("8", 1, 1, 2, 1)))

    reports.record("attic", report(FILE, 2, Holding("7", 1, 40, 95, 0)))  # what it knew below has been forgotten

    assert reports.numbers() == [GatewayNumbers("attic", "7", 1, 5, 95, 0), GatewayNumbers("attic", "8", 1, 1, 2, 1)]


def test_a_new_disk_holds_nothing_that_waits_and_what_was_known_stays_known(reports: GatewayReports) -> None:
    reports.record("attic", report(FILE, 9, Holding("7", 1, 5, 90, 3), Holding("8", 2**20, 0, 2, 1)))

    reports.record("attic", report(OTHER, 1, Holding("7", 1, 91, 91, 1)))

    assert reports.numbers() == [
        GatewayNumbers("attic", "7", 1, 5, 91, 1),
        GatewayNumbers("attic", "8", 2**20, 0, 2, 0),
    ]
