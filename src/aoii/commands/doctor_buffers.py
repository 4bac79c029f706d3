"""What a station measures of its files: when they will be full, how far kept readings go back, what a day writes."""

from collections.abc import Iterator
from typing import NamedTuple

from aoii.commands.findings import Finding
from aoii.runtime import advice
from aoii.runtime.daily_writes import daily_writes
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.runtime.time_to_full import DISK_SPAN_S, OUTBOX_SPAN_S
from aoii.runtime.times_ahead import FULL, Ahead, full_soon, times_ahead


class Buffer(NamedTuple):
    """How a buffer is named, over which span its rate is measured, and what to do when it fills."""

    subject: str
    span_s: float
    remedy: str


BUFFERS: dict[Ahead, Buffer] = {
    "outboxFull": Buffer(
        "outbox",
        OUTBOX_SPAN_S,
        "repair what is behind the gateway before that; to gain time, raise OUTBOX_MAX_MB if the disk has room, and "
        "restart the gateway",
    ),
    "lettersFull": Buffer(
        "dead letters",
        OUTBOX_SPAN_S,
        "repair the database before that; to gain time, raise DEAD_LETTER_MAX_MB if the disk has room, and restart the "
        "server",
    ),
    "diskFull": Buffer("disk", DISK_SPAN_S, "find what fills it (du -xh --max-depth=2 / | sort -h), and make room"),
}


def examine(snapshot: MetricSnapshot) -> Iterator[Finding]:
    """The buffers of a station that fill; a fault if that takes less than a day."""
    soon = dict(full_soon(snapshot, *FULL))
    for name, seconds in times_ahead(snapshot, *FULL).items():
        one = BUFFERS[name]
        state = f"full in {hours(seconds)}, at the rate of the last {one.span_s / 60:.0f} minutes"
        yield Finding(one.subject, state, one.remedy if name in soon else None)
    for reach_s in times_ahead(snapshot, "keptReach").values():
        yield Finding("copies", f"kept readings: at the rate of the last day there is room for {hours(reach_s)}")


def written(station: str, snapshot: MetricSnapshot) -> Iterator[Finding]:
    """What a station writes in a day; a fault if that is more than its budget."""
    daily = daily_writes(snapshot)
    if daily is None:
        return
    limit = "" if daily.budget_mb is None else f", and may write {daily.budget_mb:.0f} MB"
    remedy = (
        f"a memory card wears out: {advice.document('docs/howto/raspberry-pi.md')} says what writes less, or raise "
        "WRITE_BUDGET_MB"
    )
    state = f"the {station} writes {daily.written_mb:.0f} MB a day{limit}"
    yield Finding("disk", state, remedy if daily.is_too_much else None)


def hours(seconds: float) -> str:
    """A time in hours, two of its digits; from four days on in days, below an hour in minutes."""
    if seconds >= 4 * 86_400:
        return f"{seconds / 86_400:.0f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
