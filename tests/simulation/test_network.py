"""The simulated network with a receiver that is a value: what the nodes send and receive, and what is counted."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from aoii import settings
from aoii.core import frames
from aoii.core.forecast import PROVISIONED, Forecast
from aoii.core.frames import Ack, Uplink
from aoii.edge.node import Node
from aoii.security.node_keys import NodeKey
from aoii.simulation.network import Network
from aoii.simulation.radio import UPLINK_MS
from aoii.simulation.receiver import PendingReply, Receiver

KEYS = {1: NodeKey(1, bytes(16)), 2: NodeKey(1, bytes(range(16)))}
HOUR_MS = 3_600_000


class PerfectGateway:
    """Acknowledges every frame at once, as long as it is plugged in; its estimates are off by `off_c`."""

    def __init__(self, is_plugged: bool = True, off_c: int = 0) -> None:
        self.is_plugged = is_plugged
        self.off_c = off_c
        self.forecasts: dict[int, Forecast] = {}

    def forward(self, frame: bytes, now_ms: int) -> object:
        uplink = frames.decode_uplink(frame, lambda node: KEYS[node].key)
        if not self.is_plugged:
            return None
        assert isinstance(uplink, Uplink)
        self.forecasts[uplink.node] = Forecast(
            uplink.temperature_c + self.off_c,
            uplink.humidity_c,
            uplink.trend,
            PROVISIONED,
            now_ms - 1000 * uplink.age_s,
        )
        wanted = None if uplink.generation else PROVISIONED
        return frames.encode_ack(Ack(uplink.node, 1, uplink.frame, 1, 0, 1, wanted, 0), KEYS[uplink.node].key)

    async def reply(self, pending: PendingReply) -> bytes | None:
        return cast("bytes", pending)


def network(folder: Path, gateway: PerfectGateway, log: list[tuple[int, int]], **environ: str) -> Network:
    (folder / ".env").touch()
    values = settings.load({"AOII_DATA_DIR": str(folder / "data"), **environ}, folder / ".env")
    return Network(
        values.edge,
        KEYS,
        folder / "flash",
        cast("Receiver", gateway),
        lambda number, _node, at_ms: log.append((number, at_ms)),
    )


def ran(tested: Network, end_ms: int = HOUR_MS) -> dict[str, int | float]:
    async def at_once(_: int) -> None:
        pass

    tested.boot()
    asyncio.run(tested.agenda.run(end_ms, at_once))
    return tested.report()


def test_with_a_gateway_that_answers_both_ends_hold_the_same_estimate_and_it_is_right(tmp_path: Path) -> None:
    log: list[tuple[int, int]] = []

    report = ran(network(tmp_path, PerfectGateway(), log))

    assert report["samples"] == report["instants"] == 120
    assert report["estimate_checks"] > 100
    assert (report["estimate_mismatches"], report["wrong_instants"], report["retries"]) == (0, 0, 0)
    assert log == sorted(log, key=lambda entry: entry[1])
    assert [at_ms for number, at_ms in log if number == 2] == [30_000 + 60_000 * minute for minute in range(60)]


def test_a_gateway_whose_estimates_are_off_by_a_hundredth_does_not_agree_with_the_nodes(tmp_path: Path) -> None:
    report = ran(network(tmp_path, PerfectGateway(off_c=1), []))

    assert report["estimate_mismatches"] == report["estimate_checks"] > 100


def test_an_instant_is_wrong_when_the_estimate_of_the_gateway_misses_the_reading_by_a_threshold(tmp_path: Path) -> None:
    report = ran(network(tmp_path, PerfectGateway(off_c=2 * PROVISIONED.beta_t_c), []))

    assert report["wrong_instants"] == report["instants"] == 120


def test_without_a_receiver_nodes_try_again_and_every_instant_is_wrong(tmp_path: Path) -> None:
    report = ran(network(tmp_path, PerfectGateway(is_plugged=False), []))

    assert report["wrong_instants"] == report["instants"] == 120
    assert report["retries"] > 10
    assert report["estimate_checks"] == 0


def test_one_seed_is_one_run_whatever_the_radio_loses(tmp_path: Path) -> None:
    reports: list[dict[str, int | float]] = []
    for seed in ("1", "1", "2"):
        folder = tmp_path / str(len(reports))
        folder.mkdir()
        reports.append(ran(network(folder, PerfectGateway(), [], EDGE_LOSS="0.5", EDGE_SEED=seed)))

    assert reports[0] == reports[1] != reports[2]
    assert reports[0]["radio_lost_chance"] > 0


@pytest.mark.parametrize(("region", "sends_at_once"), [("EU868", True), ("KR920", False)])
def test_simulated_nodes_listen_before_they_talk_where_the_region_asks_for_it(
    tmp_path: Path, region: str, sends_at_once: bool
) -> None:
    tested = network(tmp_path, PerfectGateway(), [], EDGE_REGION=region, EDGE_COLLISIONS="all")
    node: Node = tested.boot_node(1).node
    tested.radio.transmit(2, True, 0)  # another node has just begun

    tested.agenda.now_ms = 100
    sends = node.sample(100, 20.0, 50.0)
    while not sends:
        deadline_ms = node.deadline_ms()
        assert deadline_ms is not None
        tested.agenda.now_ms = deadline_ms
        sends = node.due(deadline_ms)

    assert (tested.agenda.now_ms == 100) == sends_at_once
    assert sends_at_once or tested.agenda.now_ms >= UPLINK_MS
