import math
import os
from pathlib import Path

import pytest

from aoii.runtime import daily_writes, disks, metrics, written_bytes
from aoii.runtime.metric_snapshot import MetricSnapshot, decode_metrics
from aoii.runtime.written_bytes import WrittenBytes

HOUR_S = 3600.0


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def written(path: Path, count: int) -> None:
    path.write_text(f"rchar: 9\nwchar: 9\nwrite_bytes: {count}\ncancelled_write_bytes: 7\n")


def test_a_day_is_known_after_six_hours_and_follows_the_last_one(tmp_path: Path) -> None:
    io, clock = tmp_path / "io", Clock()
    meter = WrittenBytes(tmp_path, 100, clock, io)
    rates = [10e6] * 30 + [1e6] * 30  # bytes an hour
    total, a_day = 0, []
    for hour, rate in enumerate(rates):
        total += round(rate)
        clock.now_s = hour * HOUR_S
        written(io, total)
        meter.update()
        a_day.append(metrics.value(metrics.WRITTEN_BYTES_PER_DAY))

    assert all(math.isnan(value) for value in a_day[:6])
    assert a_day[6] == pytest.approx(240e6)
    assert a_day[29] == pytest.approx(240e6)
    assert a_day[59] == pytest.approx(24e6)
    assert metrics.value(metrics.WRITE_BUDGET_BYTES) == 100e6


def test_what_this_process_writes_and_syncs_is_counted(tmp_path: Path) -> None:
    if disks.risk(tmp_path) == "memory":
        pytest.skip("the test's folder is in memory")
    clock = Clock()
    meter = WrittenBytes(tmp_path, 0, clock)
    meter.update()
    before = metrics.value(metrics.WRITTEN_BYTES)
    with (tmp_path / "file").open("wb") as file:
        file.write(os.urandom(300_000))
        file.flush()
        os.fsync(file.fileno())
    clock.now_s += written_bytes.LOOK_S
    meter.update()

    assert metrics.value(metrics.WRITTEN_BYTES) - before >= 300_000
    assert metrics.value(metrics.WRITE_BUDGET_BYTES) == math.inf


@pytest.mark.parametrize("text", ["", "write_bytes: x\n", "rchar: 1\n"])
def test_a_kernel_that_does_not_count_leaves_a_day_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / "io").write_text(text)
    clock = Clock()
    meter = WrittenBytes(tmp_path, None, clock, tmp_path / "io")
    for hour in range(12):
        clock.now_s = hour * HOUR_S
        meter.update()

    assert math.isnan(metrics.value(metrics.WRITTEN_BYTES_PER_DAY))


@pytest.mark.parametrize(
    ("disk", "setting", "budget"),
    [("mmcblk0", None, 500e6), ("sda", None, math.inf), ("mmcblk0", 0, math.inf), ("sda", 7, 7e6)],
)
def test_only_a_memory_card_has_a_budget_unless_one_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str, setting: int | None, budget: float
) -> None:
    monkeypatch.setattr(disks, "disks", lambda _path: frozenset({disk}))

    WrittenBytes(tmp_path, setting)

    assert metrics.value(metrics.WRITE_BUDGET_BYTES) == budget


def snapshot(text: str) -> MetricSnapshot:
    return MetricSnapshot(0.0, decode_metrics(text))


@pytest.mark.parametrize(
    ("written_mb", "budget", "is_too_much"), [("5e8", "5e8", False), ("5.01e8", "5e8", True), ("9e12", "+Inf", False)]
)
def test_more_than_the_budget_is_too_much(written_mb: str, budget: str, is_too_much: bool) -> None:
    text = f"aoii_written_bytes_per_day {written_mb}\naoii_write_budget_bytes_per_day {budget}\n"
    found = daily_writes.daily_writes(snapshot(text))

    assert found is not None
    assert found.is_too_much is is_too_much


@pytest.mark.parametrize("text", ["", "aoii_written_bytes_per_day NaN\naoii_write_budget_bytes_per_day 5e8\n"])
def test_an_earlier_release_and_a_station_that_has_just_started_say_nothing(text: str) -> None:
    assert daily_writes.daily_writes(snapshot(text)) is None
