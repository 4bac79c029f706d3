"""`make simulate`: history after history, each from its seed, and what became of them; a failure repeats and shrinks.

Settings, from the environment:
  HISTORIES  how many (default: 1000)
  FIRST      the seed of the first; the next has the next (default: 0)
  WORKERS    processes that run histories side by side (default: as many as there are cores)
  SEED       run this one history, say what happens in it, and shrink it if it fails

`make` sets PYTHONHASHSEED: the order of Python's sets is a part of a history too.
"""

import contextlib
import gc
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from histories import history, outlines, stage
from histories.history import Verdict
from histories.outlines import Outline
from histories.shrinking import shrink

SHRUNK_LIMIT = 5  # failures that are shrunk; each takes as long as some dozen histories
COLLECT_EVERY = 50  # histories: nothing is collected within one, which takes a fifth of the time


@dataclass
class Tally:
    """What became of histories.

    Attributes:
        failures: Verdicts with problems.
    """

    histories: int = 0
    healthy: int = 0
    audited: int = 0
    losses: int = 0
    faults: int = 0
    readings: int = 0
    packets: int = 0
    crashes: int = 0
    failures: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        outline = verdict.outline
        self.histories += 1
        self.healthy += outline.is_healthy
        self.audited += outline.is_audited
        self.losses += outline.has_loss
        self.faults += len(outline.faults)
        self.readings += verdict.readings
        self.packets += verdict.packets
        self.crashes += verdict.crashes
        if verdict.problems:
            self.failures.append(verdict)

    def __str__(self) -> str:
        return (
            f"{self.histories} histories ({self.healthy} without a fault, {self.audited} audited, {self.losses} with "
            f"a machine lost): {self.faults} faults, {self.crashes} crashes at failpoints, {self.packets} packets, "
            f"{self.readings} readings acknowledged; {len(self.failures)} histories failed"
        )


@contextlib.contextmanager
def ready() -> Iterator[None]:
    """Within the block this process runs histories and nothing else."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with stage.set_up():
            yield
    finally:
        logging.disable(level)


def run_all(seeds: Iterable[int]) -> Iterator[Verdict]:
    """Run histories one after another, in this process."""
    gc.disable()
    try:
        for number, seed in enumerate(seeds):
            if number % COLLECT_EVERY == 0:
                gc.collect()
            yield history.run(outlines.draw(seed))
    finally:
        gc.enable()


def fails(outline: Outline) -> bool:
    """Whether something goes wrong in a history that must not."""
    return bool(history.run(outline).problems)


def _work(seeds: range) -> list[Verdict]:
    with ready():
        return list(run_all(seeds))


def explain(outline: Outline) -> None:
    """Print what happens in a history; if it fails, in the smallest one that does."""
    verdict = history.run(outline, is_verbose=True)
    print(*verdict.lines, sep="\n")
    print(f"{verdict.readings} readings acknowledged, {len(verdict.problems)} problems")
    if verdict.problems:
        small = shrink(outline, fails)
        print(f"\nshrunk from {len(outline.faults)} faults to {len(small.faults)}:", *small.faults, sep="\n  ")
        print(f"  {small.nodes} nodes, {small.gateways} gateways")
        print(*history.run(small, is_verbose=True).lines, sep="\n")


def main() -> int:
    if seed := os.environ.get("SEED"):
        outline = outlines.draw(int(seed))
        with ready():
            explain(outline)
            return int(fails(outline))
    count, first = int(os.environ.get("HISTORIES") or 1000), int(os.environ.get("FIRST") or 0)
    workers = int(os.environ.get("WORKERS") or os.cpu_count() or 1)
    step = max(1, min(50, count // workers))
    parts = [range(begin, min(begin + step, first + count)) for begin in range(first, first + count, step)]
    tally = Tally()
    begun_s = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for verdicts in pool.imap_unordered(_work, parts):
            for verdict in verdicts:
                tally.add(verdict)
                if verdict.problems:
                    print(f"\nseed {verdict.outline.seed}: {'; '.join(verdict.problems[:5])}", flush=True)
            _show_progress(tally, count, time.monotonic() - begun_s)
    sys.stderr.write("\n")
    with ready():
        for verdict in sorted(tally.failures, key=lambda one: one.outline.seed)[:SHRUNK_LIMIT]:
            small = shrink(verdict.outline, fails)
            print(f"seed {small.seed} fails with {len(small.faults)} of {len(verdict.outline.faults)} faults:")
            print(*small.faults, *history.run(small).problems, sep="\n  ")
    print(tally, f"; {(time.monotonic() - begun_s):.0f} s", sep="")
    if tally.failures:
        print("SEED=… make simulate says what happens in one of them")
    return int(bool(tally.failures))


def _show_progress(tally: Tally, count: int, elapsed_s: float) -> None:
    done = tally.histories / count
    left_s = elapsed_s * (1 - done) / done if done else 0
    bar = "█" * round(30 * done)
    sys.stderr.write(
        f"\r{bar:30} {tally.histories}/{count}, {len(tally.failures)} failed, {left_s / 60:.0f} min left  "
    )
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
