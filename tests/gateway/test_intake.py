"""The intake on a file in which the states of nodes were damaged: nothing is swallowed, nothing is silent."""

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.intake import Intake, LineResult
from aoii.gateway.legacy.old_node import Payload
from aoii.gateway.readings import Item
from aoii.settings import Settings
from gateway.station import configured

OLD = "gateway/ttyUSB0"
DAMAGES = [
    "state = x'00'",
    "state = CAST(state AS TEXT), checksum = 1",
    "state = 7",
    "checksum = 'x'",
    "node = CAST(x'e72f78' AS TEXT)",
    "node = 'gateway/ttyUSB1'",
]


@pytest.fixture
def values(tmp_path: Path) -> Settings:
    return configured(tmp_path, 1883, "gateway", tmp_path / "absent")


@contextlib.contextmanager
def opened(values: Settings) -> Iterator[tuple[OutboxFile, Intake]]:
    with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as store:
        yield store, Intake(values.gateway, values.clock, None, store, lambda _: None, lambda _: True)


def accept(intake: Intake, temperature: float) -> Item | None:
    """Have the old node's reading committed."""
    ended: Future[LineResult] = Future()

    def end(future: "Future[LineResult]") -> None:
        error = future.exception()
        ended.set_result(future.result()) if error is None else ended.set_exception(error)

    intake.submit_line(OLD, Payload(temperature, 40.0, None), intake.now(), end)
    _, item = ended.result(10)
    return item


def damage(values: Settings, change: str) -> None:
    with contextlib.closing(sqlite3.connect(values.gateway.outbox_path)) as connection:
        connection.execute(f"UPDATE nodes SET {change}")  # noqa: S608 - one of ours
        connection.commit()


@pytest.mark.parametrize("change", DAMAGES)
@pytest.mark.parametrize("is_running", [False, True])
def test_an_old_node_whose_state_was_damaged_never_reuses_an_identity(
    values: Settings, change: str, is_running: bool
) -> None:
    with opened(values) as (store, intake):
        before = [accept(intake, 20.0), accept(intake, 20.5)]
        if is_running:
            damage(values, change)
            after = [accept(intake, 20.0), accept(intake, 30.0)]
            lost = store.states_lost
    if not is_running:
        damage(values, change)
        with opened(values) as (store, intake):
            after = [accept(intake, 20.0), accept(intake, 30.0)]
            lost = store.states_lost

    identities = {item.identity for item in before + after if item is not None}
    assert len(identities) == 4
    assert lost == 1
    with opened(values) as (store, intake):
        again = accept(intake, 20.0)
        assert again is not None
        assert again.identity not in identities
        assert store.states_lost == 0


def test_a_request_that_fails_forgets_no_state(values: Settings) -> None:
    with opened(values) as (store, intake):
        accept(intake, 20.0)
        epoch = store.submit(Transaction.old_epoch).result()
        damage(values, "state = x'00'")

        def failing(tx: Transaction) -> None:
            tx.state(OLD)
            raise ZeroDivisionError

        assert isinstance(store.submit(failing).exception(), ZeroDivisionError)

        assert store.submit(Transaction.old_epoch).result() == epoch
        assert store.states_lost == 0


def test_a_simulated_clock_in_the_first_weeks_of_1970_is_not_trusted_because_nobody_could_tell_it_from_seconds(
    tmp_path: Path,
) -> None:
    for start_s, is_synced in ((0, False), (1_451_606_400, True)):
        simulated = configured(tmp_path, 1883, "gateway", tmp_path / "absent", CLOCK_START_UNIX_S=str(start_s))
        with opened(simulated) as (_, intake):
            assert intake.now().is_synced is is_synced
