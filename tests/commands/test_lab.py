"""The lab's command line: the files that it writes, and faults in plain words with exit code 2."""

import csv
import json
from pathlib import Path

import pytest

from aoii.commands.main import main
from aoii.lab import POLICY_NAMES
from aoii.lab.report import losses, thresholds

HEADER = "timestamp,node,temperature,humidity\n"


def recording(folder: Path, samples: int = 400) -> Path:
    path = folder / "two.csv"
    rows = [
        f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00,{node},{20 + minute % 50 / 10 + offset},{40 + minute % 30}\n"
        for node, offset in (("a", 0), ("b", 1))
        for minute in range(samples)
    ]
    path.write_text(HEADER + "".join(rows))
    return path


def test_a_replay_of_all_policies_writes_json_trace_and_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summaries, trace, plots = tmp_path / "out.json", tmp_path / "deep" / "out.csv", tmp_path / "plots"
    command = ["replay", "--data", str(recording(tmp_path)), "--policy", "all", "--json", str(summaries)]

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


def test_the_old_name_of_trend_is_accepted_with_a_line_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = []
    for name in ("trend", "plan"):
        out = tmp_path / "out.json"
        assert main(["lab", "replay", "--data", str(recording(tmp_path)), "--policy", name, "--json", str(out)]) == 0
        results.append((out.read_text(), capsys.readouterr().err))

    assert results[0][0] == results[1][0]
    assert results[0][1] == ""
    assert results[1][1] == "aoii lab: the policy plan is now called trend; use the new name\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "--policy", "best"], "there is no policy best; use all, or some of periodic"),
        (["replay", "--data", "none.csv"], "none.csv: cannot be read"),
        (["replay", "--prior", "none.json"], "none.json: cannot be read"),
        (["replay", "--trace-loss", "none.csv"], "none.csv: cannot be read"),
        (["replay", "--policy", "mlp", "--mlp", "none.json"], "none.json: cannot be read"),
        (["replay", "--policy", "periodic", "--json", "/dev/null/x.json"], "cannot be written"),
        (["pretrain", "--data", "a.csv", "--exclude", "a"], "no recording is left to learn from"),
        (["pretrain", "--recordings", "nowhere"], "--exclude arm"),
        (["pretrain", "--model", "mlp", "--exclude", "arm", "occupancy", "--core", "x.py"], "--core writes a prior"),
        (["report", "--recordings", "."], "has no recordings"),
    ],
)
def test_faults_are_reported_with_a_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["lab", *arguments]) == 2

    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("aoii lab: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--loss", "1.1"],
        ["--ack-loss", "x"],
        ["--beta-temp", "0"],
        ["--heartbeat", "-1"],
        ["--sf", "13"],
        ["--tau", "0"],
    ],
)
def test_an_argument_out_of_range_is_rejected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["lab", "replay", *arguments])

    assert stop.value.code == 2
    assert "; use a " in capsys.readouterr().err


def test_a_prior_is_made_and_used(tmp_path: Path) -> None:
    out, result = tmp_path / "prior.json", tmp_path / "out.json"

    assert main(["lab", "pretrain", "--exclude", "arm", "occupancy", "--out", str(out)]) == 0
    assert main(["lab", "replay", "--policy", "trend", "--prior", str(out), "--json", str(result)]) == 0

    assert [source["file"] for source in json.loads(out.read_text())["made_from"]] == [
        "surfrad_slv_20160101_1min.csv.gz"
    ]


def test_a_perceptron_is_made_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.lab.mlp_weights.EPOCHS", 2)
    data, out = recording(tmp_path), tmp_path / "mlp.json"

    assert main(["lab", "pretrain", "--model", "mlp", "--data", str(data), "--out", str(out)]) == 0
    assert main(["lab", "replay", "--data", str(data), "--policy", "mlp", "--mlp", str(out)]) == 0


def test_airtime_is_printed_for_every_spreading_factor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "airtime", "--packets", "144", "--bytes", "13"]) == 0

    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[3]: line.split() for line in lines if line.lstrip().startswith("144 a day")}
    assert list(rows) == ["7", "8", "9", "10", "11", "12"]
    assert {"164.9", "5240"} <= set(rows["9"])  # and 864 s a day at 1 %


def test_airtime_of_policies_comes_from_a_replay(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "airtime", "--policy", "periodic", "trend"]) == 0

    printed = capsys.readouterr().out
    assert "1440" in printed
    assert "trend" in printed


def test_the_report_is_made_from_the_shipped_day_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "LOSSES", (0.0, 0.1))
    monkeypatch.setattr(thresholds, "THRESHOLDS", ((50, 300),))
    page = tmp_path / "results.md"

    assert main(["lab", "report", "--out", str(page)]) == 0

    text = page.read_text()
    assert "Generated by `aoii lab report` at commit" in text
    assert "| surfrad_slv_20160101_1min | 131 |" in text
    assert all((tmp_path / name).is_file() for name in plots_of_report(text))


def plots_of_report(text: str) -> list[str]:
    return [part.partition(")")[0] for part in text.split("](")[1:]]
