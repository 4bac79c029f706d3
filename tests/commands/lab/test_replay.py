"""`aoii lab replay`: the files that it writes, losses and priors, and faults in plain words with exit code 2."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from aoii.commands.main import main
from aoii.lab import POLICY_NAMES


def test_a_replay_of_all_policies_writes_json_trace_and_plots(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summaries, trace, plots = tmp_path / "out.json", tmp_path / "deep" / "out.csv", tmp_path / "plots"
    command = ["replay", "--data", str(recording), "--policy", "all", "--json", str(summaries)]

    code = main(["lab", *command, "--trace", str(trace), "--plot", str(plots), "--heartbeat", "0"])

    entries = json.loads(summaries.read_text())
    with trace.open() as file:
        rows = list(csv.DictReader(file))
    assert code == 0
    assert [(entry["node"], entry["policy"]) for entry in entries] == [(n, p) for n in "ab" for p in POLICY_NAMES]
    assert len(rows) == 2 * 400 * len(POLICY_NAMES)
    assert rows[0]["timestamp"] == "2026-01-01T00:00:00"
    assert {path.name for path in plots.iterdir()} == {"two_a.png", "two_b.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.iterdir())
    assert "send_on_delta" in capsys.readouterr().out


def test_a_trace_is_packed_if_its_name_says_so(tmp_path: Path) -> None:
    plain, packed = tmp_path / "trace.csv", tmp_path / "trace.csv.gz"
    for trace in (plain, packed):
        assert main(["lab", "replay", "--policy", "send_on_delta", "--trace", str(trace)]) == 0

    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()


def test_the_shipped_day_is_the_default_and_a_prior_counts(tmp_path: Path) -> None:
    events = []
    for prior in ([], ["--prior", "none"]):
        out = tmp_path / "out.json"
        assert main(["lab", "replay", "--policy", "trend", "send_on_delta", "--json", str(out), *prior]) == 0
        events.append([entry["events"] for entry in json.loads(out.read_text())])

    assert events[0][0] == events[1][0] == 131
    assert max(events[0][1], events[1][1]) < 0.7 * 131
    assert events[0] != events[1]


def test_the_same_seed_loses_the_same_packets(tmp_path: Path) -> None:
    results = []
    for seed in ("1", "1", "2"):
        out = tmp_path / "out.json"
        loss = ["--loss", "0.3", "--ack-loss", "0.3", "--seed", seed]
        main(["lab", "replay", "--policy", "trend", *loss, "--json", str(out)])
        results.append(out.read_text())

    assert results[0] == results[1] != results[2]


def test_a_trace_of_losses_is_used(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp,node,seq\n2026-01-01T00:00:00,x,1\n2026-01-01T00:01:00,x,2\n2026-01-01T00:03:00,x,4\n")
    out = tmp_path / "out.json"

    assert main(["lab", "replay", "--policy", "send_on_delta", "--trace-loss", str(trace), "--json", str(out)]) == 0

    (entry,) = json.loads(out.read_text())
    assert entry["retries"] > 0
    assert entry["minutes_wrong"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "1.1"], "; use a probability from 0 to 1"),
        (["--ack-loss", "x"], "; use a probability from 0 to 1"),
        (["--beta-temp", "0"], "is not a number from 0.01 to 655.35"),
        (["--heartbeat", "-1"], "is not a whole number from 0 to 10000000"),
        (["--sf", "13"], "is not a whole number from 7 to 12"),
        (["--tau", "0"], "is not a whole number from 1 to 255"),
    ],
)
def test_an_argument_out_of_range_is_rejected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["lab", "replay", *arguments])

    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "best"], "there is no policy best; use all, or some of periodic"),
        (["--data", "none.csv"], "none.csv: cannot be read"),
        (["--prior", "none.json"], "none.json: cannot be read"),
        (["--trace-loss", "none.csv"], "none.csv: cannot be read"),
        (["--policy", "mlp", "--mlp", "none.json"], "none.json: cannot be read"),
        (["--policy", "periodic", "--json", "/dev/null/x.json"], "cannot be written"),
    ],
)
def test_faults_are_reported_with_a_remedy(
    in_empty_folder: None, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["lab", "replay", *arguments]) == 2

    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("aoii lab: ")
