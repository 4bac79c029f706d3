"""The clock: real by default, and one simulated clock for all processes of a demo."""

import subprocess
import sys
import time

from aoii.runtime.clock import Clock, day_fraction, local_text, utc


def test_the_default_clock_is_the_machines() -> None:
    assert abs(Clock().unix_ms() - time.time() * 1000) < 1000


def test_a_simulated_clock_runs_speed_times_as_fast_from_its_start() -> None:
    origin_s = time.monotonic() - 10

    clock = Clock(speed=60, start_unix_s=1_451_606_400, origin_s=origin_s)

    unix_s, elapsed_s = clock.unix_ms() / 1000 - 1_451_606_400, clock.elapsed_ms() / 1000
    latest_s = (time.monotonic() - origin_s) * 60
    assert 600 <= unix_s <= latest_s
    assert 600 <= elapsed_s <= latest_s
    assert clock.real_s(60) == 1


def test_two_processes_agree_on_the_simulated_clock() -> None:
    clock = Clock(speed=1, start_unix_s=0, origin_s=time.monotonic() - 5)
    code = f"from aoii.runtime.clock import Clock; print(Clock(1, 0, {clock.origin_s}).unix_ms())"

    before = clock.unix_ms()
    other = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)

    assert before <= other <= clock.unix_ms()


def test_local_text_and_day_fraction_agree() -> None:
    at = 1_772_000_000_000

    hours, minutes, seconds = (int(part) for part in local_text(at)[11:].split(":"))

    assert abs(day_fraction(at) - (hours * 3600 + minutes * 60 + seconds) / 86400) < 1e-9


def test_utc_keeps_milliseconds() -> None:
    assert utc(1_451_606_400_123).isoformat() == "2016-01-01T00:00:00.123000"
