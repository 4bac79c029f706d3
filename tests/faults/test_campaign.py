"""The campaign around the trials: what it is asked for, what it skips when it goes on, and what its report is worth."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import aoii
from faults import campaign, report
from faults.machines import MACHINE_CONTROLS, MACHINES
from faults.scenarios import CONTROLS, FAILPOINTS, LONG, PLACES, SCENARIOS
from faults.trial import Result

GOOD = Result(
    scenario="gateway_kill", seed=5, commit="abc", accepted=300, stored=300, dead_letters=0, missing=0, duplicates=0,
    spurious=0, corrupt=0, lost_corrupt=0, duplicate_deliveries=2, drain_s=0.6, rss_max_mb=60.0, fresh_s=0.3, detail="",
    violations=(),
)  # fmt: skip
LOST = replace(GOOD, seed=6, missing=1, violations=("1 missing",))
BITING = replace(GOOD, scenario="without_commit_ack", missing=9, violations=("9 missing",))
PROMISED_KEYS = [
    "scenario",
    "seed",
    "commit",
    "accepted",
    "stored",
    "dead_letters",
    "missing",
    "duplicates",
    "spurious",
    "corrupt",
    "lost_corrupt",
    "duplicate_deliveries",
    "drain_s",
    "rss_max_mb",
]


def written(path: Path, *results: Result) -> Path:
    path.write_text("".join(json.dumps(result.as_dict()) + "\n" for result in results))
    return path


def summed(*results: Result, controls: tuple[Result, ...] = ()) -> dict[str, Any]:
    return report.summary(list(results), controls, {})


def test_without_settings_every_scenario_and_every_control_runs_once() -> None:
    request = campaign.read_request({})

    assert [task.name for task in campaign.tasks(request, [])] == [*SCENARIOS, *MACHINES]
    assert request.controls == (*CONTROLS, *MACHINE_CONTROLS)
    assert request.scale == LONG


def test_no_two_scenarios_or_controls_have_the_same_name() -> None:
    assert len(set(campaign.ALL)) == len(campaign.ALL)


def test_a_group_stands_for_its_scenarios_and_controls_and_none_runs_twice() -> None:
    request = campaign.read_request({"SCENARIOS": "kept_cap,machines,broker_kill"})

    assert sorted(request.names) == sorted([*MACHINES, "broker_kill"])
    assert request.controls == tuple(MACHINE_CONTROLS)


def test_a_control_that_loses_machines_must_move_its_own_figure() -> None:
    lost = replace(BITING, scenario="without_kept")
    asked = replace(GOOD, scenario="one_look", asked=1)
    collided = replace(GOOD, scenario="both_first", collisions=GOOD.accepted)

    assert all(map(report.bites, (lost, asked, collided)))
    assert not report.bites(replace(lost, missing=0, asked=5))
    assert not report.bites(replace(asked, asked=0, missing=5))
    assert not report.bites(replace(collided, collisions=1))


def test_trials_are_dealt_to_the_scenarios_in_turn_with_rising_seeds() -> None:
    request = campaign.read_request({"SCENARIOS": "gateway_kill,broker_kill", "TRIALS": "5", "SEED": "40"})

    dealt = [(task.name, task.seed) for task in campaign.tasks(request, [])]

    assert dealt == [
        ("gateway_kill", 40), ("broker_kill", 40), ("gateway_kill", 41), ("broker_kill", 41), ("gateway_kill", 42),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"TRIALS": "many"}, 'TRIALS is "many"'), ({"SCENARIOS": "earthquake"}, "no scenario is named earthquake")],
)
def test_a_wrong_setting_is_said_with_what_would_be_right(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        campaign.read_request(settings)


def test_a_campaign_goes_on_with_its_seed_where_it_was_cut_short(tmp_path: Path) -> None:
    out = written(tmp_path / "faults.json", GOOD, LOST)
    with out.open("a") as file:
        file.write('{"scenario": "gateway_kill", "se')  # a kill in the middle of a line

    request = campaign.read_request({"SCENARIOS": "gateway_kill", "TRIALS": "4", "OUT": str(out)})
    done = campaign.read_results(out)

    assert done == [GOOD, LOST]
    assert [task.seed for task in campaign.tasks(request, done)] == [7, 8]


def test_a_line_of_the_results_has_the_promised_keys_in_their_order() -> None:
    assert list(GOOD.as_dict())[: len(PROMISED_KEYS)] == PROMISED_KEYS


def test_no_failure_in_n_trials_bounds_the_rate_by_three_in_n() -> None:
    found = summed(*[replace(GOOD, seed=seed) for seed in range(300)])

    assert found["scenarios"]["gateway_kill"]["n"] == 300
    assert found["scenarios"]["gateway_kill"]["failure_rate_below"] == 0.01
    assert "below 1.00% (3/n, 95 %)" in report.text(found)
    assert report.is_good(found)


def test_a_worker_that_gets_nothing_to_do_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)

    with campaign._Workplace(1):
        pass

    assert (tmp_path / "file").exists()


def test_one_broken_promise_fails_the_campaign_and_is_named_with_its_seed() -> None:
    found = summed(GOOD, LOST)

    assert not report.is_good(found)
    assert "seed 6: 1 missing" in report.text(found)
    assert found["scenarios"]["gateway_kill"]["failure_rate_below"] is None


def test_a_control_that_finds_nothing_fails_the_campaign() -> None:
    assert report.is_good(summed(GOOD, controls=(BITING,)))
    assert not report.is_good(summed(GOOD, controls=(replace(BITING, missing=0),)))


def test_a_long_campaign_that_has_seen_no_duplicate_delivery_fails() -> None:
    blind = [replace(GOOD, seed=seed, duplicate_deliveries=0) for seed in range(report.ENOUGH)]

    assert report.is_good(summed(*blind[:-1]))
    assert not report.is_good(summed(*blind))


def test_every_place_where_a_station_can_die_is_in_the_source_once_and_is_tried() -> None:
    package = Path(aoii.__file__).parent
    stations = [path for path in package.rglob("*.py") if path.parent.name != "commands"]
    source = "".join(path.read_text() for path in stations)

    assert [source.count(f'failpoints.reach("{place}")') for place in PLACES] == [1] * len(PLACES)
    assert source.count("failpoints.reach(") == 2 * len(FAILPOINTS)
    assert {f"kill_{place}" for place in PLACES} <= SCENARIOS.keys()
