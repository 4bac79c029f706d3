"""The material of a report: recordings apart from packet traces, each with a prior that never saw it."""

import gzip
from pathlib import Path

from aoii.core import prior
from aoii.lab.channel import SimulatedChannel
from aoii.lab.policy import Options
from aoii.lab.prior_fit import NO_PRIOR
from aoii.lab.report.material import load_material, replay_subjects
from aoii.settings.channel import ChannelModel
from aoii.simulation import recordings
from report_material import material

RECORDING = "timestamp,temperature,humidity\n2026-01-01T00:00,20,40\n2026-01-01T00:01,21,41\n"
TRACE = "timestamp,seq\n2026-01-01T00:00,1\n2026-01-01T00:01,2\n"


def test_recordings_and_packet_traces_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(RECORDING)
    (tmp_path / "C.CSV").write_text("timestamp,temperature,humidity\n1767225600,20,40\n1767225660,21,41\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(TRACE.encode()))
    (tmp_path / "notes.txt").write_text("not a recording")

    found = load_material(tmp_path, tmp_path / "results", 3)

    assert [subject.name for subject in found.subjects] == ["C", "a"]
    assert found.notes == ["C.CSV: 2 time(s) are in Unix seconds"]
    assert found.traces == [tmp_path / "b.csv.gz"]
    assert (found.command, found.seed) == (f"aoii lab report --recordings {tmp_path}", 3)


def test_a_recording_is_measured_without_a_prior_where_the_sources_are_missing(tmp_path: Path) -> None:
    (subject,) = load_material(None, tmp_path, 1).subjects

    assert (subject.name, subject.has_prior, subject.prior) == ("surfrad_slv_20160101_1min", False, NO_PRIOR)


def test_a_source_is_measured_with_a_prior_from_the_other_sources_only(tmp_path: Path) -> None:
    for name in ("arm_met_1min.csv.gz", "occupancy_1min.csv.gz", recordings.SHIPPED.name):
        (tmp_path / name).write_bytes(recordings.SHIPPED.read_bytes())
    (tmp_path / "other.csv").write_text(RECORDING)

    by_name = {subject.name: subject for subject in load_material(tmp_path, tmp_path, 1).subjects}

    assert all(subject.has_prior for subject in by_name.values())
    assert by_name["arm_met_1min"].prior == by_name["occupancy_1min"].prior != by_name["other"].prior


def test_each_subject_is_replayed_with_its_own_prior_and_the_given_channel(tmp_path: Path) -> None:
    subjects = material(tmp_path, 200).subjects

    fair = replay_subjects(subjects, ("send_on_delta", "trend"), Options(prior=NO_PRIOR))
    lossy = replay_subjects(subjects, ("trend",), Options(), lambda _: SimulatedChannel(ChannelModel(0.5), "1"))

    assert [run.policy.name for run in fair] == ["send_on_delta", "trend"]
    assert fair[1].outcome.sent == replay_subjects(subjects, ("trend",), Options(prior=prior.WEIGHTS))[0].outcome.sent
    assert lossy[0].outcome.retries > 0
