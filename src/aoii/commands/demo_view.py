"""What a demo shows in the terminal: the run while it lasts, and the summary at its end."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from aoii.commands.demo_account import Report, Summary

Show = Callable[[float, Report], None]

LOSSES_SHOWN = {"trace": "as in the trace", "burst": "in outages", "chance": "by chance", "collision": "in collisions"}
EXTRAS_SHOWN = {"duplicated": "received twice", "reordered": "overtaken by the next"}
SHOWN_LATE_S = 60  # of simulated time; no chart shows less


@contextlib.contextmanager
def live_view(console: Console, *, headless: bool) -> Iterator[Show]:
    """A live view while the context lasts; yields the function that shows progress (0..1) and the nodes' report."""
    if headless or not console.is_terminal:
        yield lambda progress, report: None
        return
    bar = Progress(TextColumn("replaying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console)
    task = bar.add_task("", total=1.0)
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def show(progress: float, report: Report) -> None:
            bar.update(task, completed=progress)
            live.update(_live_table(bar, report))

        yield show


def _live_table(bar: Progress, report: Report) -> RenderableType:
    samples, instants = report.get("samples", 0), report.get("instants", 0)
    sent = sum(report.get(kind, 0) for kind in ("events", "heartbeats", "retries"))
    table = Table.grid(padding=(0, 2))
    table.add_row("samples", f"{samples:,.0f}")
    table.add_row("packets sent", f"{sent:,.0f} of {samples:,.0f} that periodic sending would have sent")
    if instants:
        table.add_row("estimate correct", f"{_share_correct(report):.2%} of samples")
    return Group(bar, table)


def print_summary(console: Console, summary: Summary, report: Report, notes: Sequence[str]) -> None:
    """Print the figures of a run, and its notes as what it survived."""
    saved = f" (-{1 - summary.sent / summary.periodic:.0%})" if summary.periodic else ""
    kinds = f"{summary.events:,} events, {summary.heartbeats:,} heartbeats, {summary.retries:,} retries"
    checks, mismatches = report.get("estimate_checks", 0), report.get("estimate_mismatches", 0)
    table = Table.grid(padding=(0, 2))
    for name, text in (
        ("samples", f"{summary.samples:,}"),
        ("packets sent", f"{summary.sent:,}: {kinds}"),
        ("periodic sending", f"{summary.periodic:,}{saved}"),
        ("estimate correct", f"{_share_correct(report):.2%} of samples; wrong for {summary.minutes_wrong:g} min"),
        ("AoII", f"mean {summary.aoii_mean_s:.2f} s, p99 {summary.aoii_p99_s:g} s"),
        ("accepted", f"{summary.accepted:,} readings acknowledged to the radio"),
        ("stored", f"{summary.stored:,} rows"),
        ("missing", f"{summary.missing:,}"),
        ("duplicates", f"{summary.duplicates:,}"),
        ("dead letters", f"{summary.dead_letters:,}"),
        ("same forecast", f"node and gateway compared {checks:,.0f} times, {mismatches:,.0f} differed"),
        ("radio", _radio_text(report)),
        *(("survived", note) for note in notes),
        *(("not exact", text) for text in _timing_texts(report)),
    ):
        table.add_row(name, text)
    console.print(table, highlight=False)


def _share_correct(report: Report) -> float:
    """Share of samples at which the gateway's estimate was correct, 0..1."""
    instants = report.get("instants", 0)
    return 1 - report.get("wrong_instants", 0) / instants if instants else 1.0


def _timing_texts(report: Report) -> Iterator[str]:
    """What this machine was too slow for, in simulated time."""
    late_s, held_up_s = report.get("late_s", 0), report.get("held_up_s", 0)
    if late_s >= SHOWN_LATE_S:
        yield f"times of readings, up to {late_s / 60:.0f} min late: this machine is too slow for this --speed"
    if held_up_s >= SHOWN_LATE_S:
        yield f"the nodes were held up for {held_up_s / 60:.0f} min, in which they took no samples"


def _radio_text(report: Report) -> str:
    """What the simulated radio did with packets and acknowledgements."""
    counts = {name: report.get(f"radio_{name}", 0) for name in ("sent", "received", "duplicated", "reordered")}
    lost = {reason: count for reason in LOSSES_SHOWN if (count := report.get(f"radio_lost_{reason}", 0))}
    shown = f"{counts['sent']:,.0f} packets and acknowledgements on the air, {counts['received']:,.0f} received"
    if lost:
        parts = ", ".join(f"{count:,.0f} {LOSSES_SHOWN[reason]}" for reason, count in lost.items())
        shown += f", {sum(lost.values()):,.0f} lost ({parts})"
    return shown + "".join(f", {counts[name]:,.0f} {text}" for name, text in EXTRAS_SHOWN.items() if counts[name])
