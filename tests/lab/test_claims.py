"""The claims of the project for its learning, measured on recordings that are not shipped; skipped without these.

Each recording is replayed with a prior that was fitted without the recordings of its group.
"""

import math
from pathlib import Path

import pytest

from aoii.core import prior
from aoii.lab.channel import Channel, SimulatedChannel, lossless
from aoii.lab.policy import Options, Prior
from aoii.lab.prior_fit import Evidence, fit_prior, gather_evidence
from aoii.lab.runs import Run, replay_all
from aoii.lab.sources import SOURCES, provenance
from aoii.settings.channel import ChannelModel
from aoii.simulation import recordings
from aoii.simulation.recordings import Series

SHARED = Path(__file__).parents[3] / "shared" / "data"
FILES = (
    "surfrad_slv_20160101_1min.csv.gz",
    "arm_met_1min.csv.gz",
    "occupancy_1min.csv.gz",
    "reference_logs_1min.csv.gz",
    "ulb_library1_1min.csv.gz",
    "hast_lora_node3_5min.csv.gz",
)

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared recordings are not beside the project")


@pytest.fixture(scope="module")
def evidence() -> dict[str, Evidence]:
    """The evidence of each source of the prior, by file."""
    return {source.file: gather_evidence(recordings.parse(SHARED / source.file)) for source in SOURCES}


def without(file: str, evidence: dict[str, Evidence]) -> Prior:
    return fit_prior([one for name, one in evidence.items() if name != file])


@pytest.fixture(scope="module")
def held_out(evidence: dict[str, Evidence]) -> list[tuple[str, list[Series], Prior]]:
    """Each recording with the prior that never saw it."""
    return [(file, recordings.parse(SHARED / file), without(file, evidence)) for file in FILES]


@pytest.fixture(scope="module")
def found(held_out: list[tuple[str, list[Series], Prior]]) -> dict[tuple[str, str], dict[str, Run]]:
    by_series: dict[tuple[str, str], dict[str, Run]] = {}
    for file, all_series, weights in held_out:
        for run in replay_all(
            [(file, all_series)],
            ("send_on_delta", "trend"),
            Options(prior=weights),
            lossless,
        ):
            by_series.setdefault((file, run.node), {})[run.policy.name] = run
    return by_series


def ratios(found: dict[tuple[str, str], dict[str, Run]]) -> dict[tuple[str, str], float]:
    """Packets divided by send-on-delta's where there is enough to count."""
    return {
        key: group["trend"].outcome.packets / group["send_on_delta"].outcome.packets
        for key, group in found.items()
        if len(group["trend"].series) >= 500 and group["send_on_delta"].outcome.packets >= 15
    }


def test_the_shipped_prior_is_what_its_recordings_make(evidence: dict[str, Evidence]) -> None:
    assert without("nothing", evidence) == prior.WEIGHTS
    assert all(
        source["sha256"] in str(prior.__doc__) for source in provenance([SHARED / source.file for source in SOURCES])
    )


def test_two_packets_where_send_on_delta_needs_three_where_the_learner_was_chosen(
    found: dict[tuple[str, str], dict[str, Run]],
) -> None:
    counted = ratios(found)

    assert len(counted) == 8
    assert math.exp(sum(math.log(ratio) for ratio in counted.values()) / len(counted)) <= 0.68


def test_on_a_tree_that_nobody_tuned_to_it_saves_a_few_percent_at_most() -> None:
    tree = [series for series in recordings.parse(SHARED / "redwood_5min.csv.gz") if series.node == "rw59"]

    pairs: dict[str, dict[str, int]] = {}
    for run in replay_all([("redwood", tree)], ("send_on_delta", "trend"), Options(), lossless):
        pairs.setdefault(run.node, {})[run.policy.name] = run.outcome.packets

    assert all(0.95 < packets["trend"] / packets["send_on_delta"] <= 1.02 for packets in pairs.values())


def test_never_worse_than_send_on_delta(found: dict[tuple[str, str], dict[str, Run]]) -> None:
    assert max(ratios(found).values()) <= 1.02


def test_a_third_of_what_the_older_installation_sent(found: dict[tuple[str, str], dict[str, Run]]) -> None:
    assert found["reference_logs_1min.csv.gz", "mlp0.5"]["trend"].outcome.packets <= 0.35 * 419


def test_never_wrong_without_loss(found: dict[tuple[str, str], dict[str, Run]]) -> None:
    assert [key for key, group in found.items() if group["trend"].outcome.meter.wrong] == []


def lossy(series: Series) -> Channel:
    return SimulatedChannel(ChannelModel(0.1, 0.1), f"1/{series.node}")


def test_hardly_ever_wrong_when_a_tenth_is_lost_either_way(held_out: list[tuple[str, list[Series], Prior]]) -> None:
    for file, all_series, weights in held_out:
        if not file.startswith(("surfrad", "reference")):
            continue  # longer, and no different
        for run in replay_all([(file, all_series)], ("trend",), Options(prior=weights), lossy):
            assert run.outcome.meter.wrong < 0.005 * len(run.series)
