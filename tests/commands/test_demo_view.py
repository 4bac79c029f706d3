"""What a demo prints: the figures, what the radio did, and what the run survived."""

import io
from collections.abc import Mapping

from rich.console import Console

from aoii.commands.demo_account import Summary
from aoii.commands.demo_view import live_view, print_summary

SUMMARY = Summary(
    samples=1_000, events=80, heartbeats=15, retries=5, periodic=1_000, minutes_wrong=12.0, aoii_mean_s=1.25,
    aoii_p99_s=60.0, accepted=95, stored=95, missing=0, duplicates=0, dead_letters=0,
)  # fmt: skip
REPORT = {
    "instants": 1_000, "wrong_instants": 12, "radio_sent": 200, "radio_received": 190, "radio_lost_chance": 8,
    "radio_lost_burst": 2, "radio_duplicated": 1, "estimate_checks": 95,
}  # fmt: skip


def printed(summary: Summary, report: Mapping[str, float], *notes: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_summary(console, summary, report, notes)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_summary_has_all_numbers_and_what_the_run_survived() -> None:
    text = printed(SUMMARY, REPORT, "the receiver was unplugged for 5 s")

    for part in ("100: 80 events, 15 heartbeats, 5 retries", "1,000 (-90%)", "98.80% of samples", "95 rows"):
        assert part in text
    assert "survived" in text
    assert "unplugged for 5 s" in text


def test_what_could_not_be_timed_is_said_and_only_then() -> None:
    slow = printed(SUMMARY, {**REPORT, "late_s": 840.0, "held_up_s": 1500.0})

    assert "times of readings, up to 14 min late" in slow
    assert "the nodes were held up for 25 min" in slow
    assert "not exact" not in printed(SUMMARY, {**REPORT, "late_s": 59.0, "held_up_s": 0.0})


def test_losses_are_split_by_their_cause() -> None:
    text = printed(SUMMARY, REPORT)

    assert "190 received, 10 lost (2 in outages, 8 by chance), 1 received twice" in text


def test_a_run_without_samples_has_a_summary_too() -> None:
    text = printed(Summary(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0), {})

    assert "100.00% of samples" in text


def test_a_terminal_shows_progress_and_a_headless_run_nothing() -> None:
    shown, hidden = (Console(file=io.StringIO(), width=100, force_terminal=True) for _ in range(2))

    for console, headless in ((shown, False), (hidden, True)):
        with live_view(console, headless=headless) as show:
            show(0.5, {"samples": 1_234, "instants": 1_000, "wrong_instants": 12})

    assert isinstance(shown.file, io.StringIO)
    assert isinstance(hidden.file, io.StringIO)
    assert "1,234" in shown.file.getvalue()
    assert hidden.file.getvalue() == ""
