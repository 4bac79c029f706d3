"""The metrics of a disk: when it will be full, once it has been watched for two hours."""

import math
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from aoii.runtime import metrics
from aoii.runtime.disk_metrics import DiskMetrics

HOUR_S = 3600.0


class Usage(NamedTuple):
    """What a disk says of itself."""

    total: int
    used: int
    free: int


def test_a_disk_that_fills_for_hours_says_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_s, free = 0.0, 100_000_000
    monkeypatch.setattr("aoii.runtime.disk_metrics.shutil.disk_usage", lambda _: Usage(200_000_000, 0, free))
    disk = DiskMetrics(tmp_path, lambda: at_s)
    said = []

    for _ in range(40):
        disk.update()
        said.append(metrics.value(metrics.DISK_TIME_TO_FULL_S))
        at_s, free = at_s + HOUR_S / 12, free - 1_000_000

    assert all(map(math.isnan, said[:24]))
    assert said[24] == pytest.approx(76 / 12 * HOUR_S)
    assert said[39] == pytest.approx(61 / 12 * HOUR_S)


def test_a_real_disk_is_measured_and_one_that_does_not_answer_keeps_its_last_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskMetrics(tmp_path)
    disk.update()
    total = shutil.disk_usage(tmp_path).total

    def fail(_: Path) -> None:
        raise OSError

    monkeypatch.setattr("aoii.runtime.disk_metrics.shutil.disk_usage", fail)
    silent = DiskMetrics(tmp_path)
    silent.update()

    assert metrics.value(metrics.DISK_BYTES) == total
    assert 0 < disk.free_bytes < math.inf
    assert silent.free_bytes == math.inf  # it limits nothing
