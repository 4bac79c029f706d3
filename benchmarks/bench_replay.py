"""Samples a second of every policy, of the board's learner and of the lab's fast one; bytecodes of a sample.

Run: .venv/bin/python benchmarks/bench_replay.py [--samples N] [--runs N] [--json FILE]

The shipped day, repeated. Bytecodes are counted by the interpreter, so they do not depend on the machine.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from aoii.core.learner import Learner
from aoii.lab.channel import lossless
from aoii.lab.fast import FastLearner
from aoii.lab.mlp_weights import parse_mlp
from aoii.lab.policies import POLICIES
from aoii.lab.policy import Options
from aoii.lab.replay import replay
from aoii.simulation import recordings
from aoii.simulation.recordings import Series


def days(samples: int) -> Series:
    (day,) = recordings.parse()
    times = -(-samples // len(day))
    return replace(
        day,
        slots=tuple(range(samples)),
        timestamps=tuple(map(str, range(samples))),
        temperature_c=(day.temperature_c * times)[:samples],
        humidity_c=(day.humidity_c * times)[:samples],
    )


def rate(work: Callable[[], object], samples: int, runs: int) -> float:
    """Samples a second, median over the runs."""
    rates = []
    for _ in range(runs):
        began_s = time.perf_counter()
        work()
        rates.append(samples / (time.perf_counter() - began_s))
    return statistics.median(rates)


def learn(kind: type[Learner], series: Series) -> None:
    learner = kind(50, 300)
    for minute, (t, h) in enumerate(zip(series.temperature_c, series.humidity_c, strict=True)):
        learner.observe(t, h, 1, minute % 1440 * 60_000)


def bytecodes(series: Series) -> int:
    """Bytecodes of CPython in one sample of the board's learner when all windows learn."""
    learner, count = Learner(50, 300), 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    for i in range(100):
        learner.observe(series.temperature_c[i], series.humidity_c[i], 1, 60_000 * i)
    sys.settrace(trace)
    learner.observe(series.temperature_c[100], series.humidity_c[100], 1, 6_000_000)
    sys.settrace(None)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=2880, help="samples in one measurement")
    parser.add_argument("--runs", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    series = days(options.samples)
    settings = Options(mlp=parse_mlp())
    results: dict[str, float] = {}
    for policy in POLICIES:
        results[f"replay {policy.name}"] = rate(
            lambda policy=policy: replay(series, policy, settings, lossless(), options.samples // 20),  # type: ignore[misc]
            options.samples,
            options.runs,
        )
    for name, kind in (("learner of the board", Learner), ("the fast learner", FastLearner)):
        results[name] = rate(lambda kind=kind: learn(kind, series), options.samples, options.runs)  # type: ignore[misc]
    for name, value in results.items():
        print(f"{name:24} {value:10,.0f} samples/s")
    results["bytecodes of a sample"] = bytecodes(series)
    print(f"{'bytecodes of a sample':24} {results['bytecodes of a sample']:10,.0f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
