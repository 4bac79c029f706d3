"""The shipped SURFRAD day as rows and messages of nodes that send only when the estimate is wrong.

The forecast is a plain damped trend, written again here: the page depends on what arrives, not on how good it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from aoii.broker.messages import Estimate, Identity, Reading
from aoii.runtime.clock import day_fraction, local_text, utc
from aoii.server.db import Database
from aoii.server.rows import EdgeLogRow
from aoii.simulation import recordings
from aoii.web.fleet_settings import FleetSettings

BETA_TEMP, BETA_HUM = 0.5, 3.0
PERIOD_MS = 60_000
HEARTBEAT_MINUTES = 60
FLEET_SETTINGS = FleetSettings(BETA_TEMP, BETA_HUM, PERIOD_MS // 1000, 60 * HEARTBEAT_MINUTES)
START_MS = 1_451_606_400_000  # 2016-01-01 00:00 UTC, the first row of the recording


@dataclass(frozen=True)
class Minute:
    """One sample of one node: its log row, the estimate after it, and the reading if one arrived."""

    log: EdgeLogRow
    estimate: Estimate
    reading: Reading | None


def minutes(node: str, count: int = 1440, shift: int = 0, loses_every: int = 0) -> Iterator[Minute]:
    """The first `count` minutes of a node that began `shift` minutes into the day (the day repeats).

    With `loses_every` n, the radio loses each nth packet; a minute later the node then still finds the estimate wrong.
    """
    (day,) = recordings.parse()
    past: list[tuple[float, float]] = []
    sent_at, sent_reading, slope, packets, tries = -1, (0.0, 0.0), (0.0, 0.0), 0, 0
    for step in range(count):
        index = (step + shift) % len(day)
        now = day.temperature_c[index] / 100, day.humidity_c[index] / 100
        past = [*past[-9:], now]
        reach = (1 - 0.9 ** (step - sent_at)) / 0.1
        estimate = tuple(round(value + trend * reach, 2) for value, trend in zip(sent_reading, slope, strict=True))
        if sent_at < 0:
            estimate = now
        errors = round(now[0] - estimate[0], 2), round(now[1] - estimate[1], 2)
        wrong = abs(errors[0]) >= BETA_TEMP or abs(errors[1]) >= BETA_HUM
        sends = wrong or sent_at < 0 or step - sent_at >= HEARTBEAT_MINUTES
        at_ms = START_MS + step * PERIOD_MS
        reading = None
        tries += sends
        arrives = sends and not (loses_every and tries % loses_every == 0)
        if arrives:
            packets += 1
            reading = Reading(
                identity=Identity(node, 1, packets),
                gateway="roof",
                kind="event" if wrong or sent_at < 0 else "heartbeat",
                timestamp=local_text(at_ms),
                time_n=day_fraction(at_ms),
                actual_t=now[0],
                actual_h=now[1],
                pred_t=estimate[0],
                pred_h=estimate[1],
                total_tx=packets,
                transmission_delay_ms=None,
                event_unix_ms=at_ms,
                clock_synced=True,
            )
            sent_at, sent_reading = step, now
            slope = ((now[0] - past[0][0]) / 30, (now[1] - past[0][1]) / 30)
        status = "SKIP" if not sends else "SEND & TRAIN" if wrong else "HEARTBEAT"
        log = EdgeLogRow(
            actual_temp=now[0], actual_humidity=now[1], pred_temp=estimate[0], pred_humidity=estimate[1],
            error_temp=errors[0], error_humidity=errors[1], triggered=sends, status=status,
            inference_time_us=180, free_heap=90_000, total_heap=120_000, node=node, event_time=utc(at_ms),
        )  # fmt: skip
        after = now if arrives else estimate
        message = Estimate(
            "roof", node, local_text(at_ms), day_fraction(at_ms), after[0], after[1], packets, at_ms + 20_000
        )
        yield Minute(log, message, reading)


def store(database: Database, story: list[Minute], *, logs: bool = True) -> None:
    """Store the readings of a story, and with `logs` the node's log."""
    readings = [minute.reading for minute in story if minute.reading is not None]
    for first in range(0, len(readings), 500):
        database.insert_readings(readings[first : first + 500])
    if logs:
        database.insert_edge_log([minute.log for minute in story])


def packets_of(story: list[Minute]) -> int:
    """Readings that were sent."""
    return sum(minute.reading is not None for minute in story)


def after(story: list[Minute], elapsed: timedelta) -> list[Minute]:
    """What lies `elapsed` or later after the first minute."""
    return story[int(elapsed.total_seconds() * 1000 / PERIOD_MS) :]
