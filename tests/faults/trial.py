"""One trial: load, one fault, healing, one fresh reading, draining, counting."""

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from faults.audit import Count
from faults.scenarios import Scale, Scenario, Scene, Violation
from faults.stack import Stack

FRESH_S = 30.0  # a fresh reading arrives this soon after healing
DRAIN_S = 120.0
STILL_S = 3.0  # an empty outbox and no new row for so long: what has not come is lost
ANSWER_S = 30.0
POLL_S = 0.05
RSS_LIMIT_MB = 150.0  # 60 to 70 MB in usual trials; a queue that is not bounded gets here with any long backlog


@dataclass(frozen=True)
class Result:
    """What a trial is judged by; the differences that it made to the stack's account.

    Attributes:
        lost_corrupt: Missing readings of a file damaged on purpose that the gateway itself reported as lost, or listed
            without a name that can be read.
        duplicate_deliveries: Deliveries that the server recognised as known and stored no second time, at least.
        drain_s: Seconds from healing until everything accepted had arrived; None: it did not.
        rss_max_mb: Of gateway and server, the larger peak so far.
        fresh_s: Seconds from healing until a fresh reading was stored; None: it was not, in time.
        single: Accepted readings with fewer than two copies when drained; only counted where machines are lost.
        false_void: Numbers that the database calls void although a node saw them acknowledged.
        unbalanced: Nodes and epochs whose ledger does not add up.
        known_lost: Missing readings of which the losses left no copy; more was lost than the promise covers.
        collisions: Frames that two gateways answered at the same moment.
        asked: Accepted readings that the server asked the gateways for.
        violations: What was promised and not kept, in words; empty in a good trial.
    """

    scenario: str
    seed: int
    commit: str
    accepted: int
    stored: int
    dead_letters: int
    missing: int
    duplicates: int
    spurious: int
    corrupt: int
    lost_corrupt: int
    duplicate_deliveries: int
    drain_s: float | None
    rss_max_mb: float
    fresh_s: float | None
    detail: str
    violations: tuple[str, ...]
    single: int = 0
    false_void: int = 0
    unbalanced: int = 0
    known_lost: int = 0
    collisions: int = 0
    asked: int = 0

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


NEVER = ("missing", "duplicates", "spurious", "corrupt", "single", "false_void", "unbalanced")


def run(
    stack: Stack, name: str, scenario: Scenario, seed: int, scale: Scale, commit: str, is_control: bool = False
) -> Result:
    """Put a drained stack through one fault, and leave it drained.

    Args:
        stack: Lives through many trials.
        name: Of the scenario.
        scenario: What is done.
        seed: Of this trial's chances.
        scale: How long things last.
        commit: For the record.
        is_control: Something will be lost, so do not wait for it when nothing moves any more.

    Raises:
        scenarios.Skipped: This machine cannot do that; nothing was done.
        Exception: The stack is no longer whole, or the scenario itself failed: start a new one.
    """
    scene = Scene(stack, random.Random(f"{name} {seed}"), scale)
    _comes(lambda: not stack.audit.unfinished(), ANSWER_S)  # a new stack may still replay dead letters
    before = stack.audit.count()
    repeated = _duplicate_deliveries(stack)
    violations: list[str] = []
    stack.radio.load(scenario.burst, scenario.is_mixed, scenario.noise_share)
    if scenario.has_old_node:
        stack.old_node.talk()
    try:
        scenario.inject(scene)
    except Violation as violation:
        violations.append(str(violation))
    finally:
        stack.heal()
    healed_s = time.monotonic()
    fresh_s = _since(healed_s) if _fresh_arrives(stack) else None
    if fresh_s is None:
        violations.append(f"no fresh reading arrived within {FRESH_S:g} s")
    drain_s = _since(healed_s) if _drains(stack, scene, violations, is_control) else None
    for station in stack.stations:
        station.note()
        violations += station.faults
        station.faults.clear()
    change = _difference(stack.audit.count(), before)
    lost_corrupt = min(change.missing, scene.lost + stack.audit.nameless)
    stack.audit.write_off()
    peak_mb = round(max(station.rss_max_mb for station in stack.stations), 1)
    if peak_mb > RSS_LIMIT_MB:
        violations.append(f"a station needed {peak_mb} MB of memory")
    result = Result(
        scenario=name,
        seed=seed,
        commit=commit,
        **asdict(change) | {"missing": change.missing - lost_corrupt},
        lost_corrupt=lost_corrupt,
        duplicate_deliveries=round(_duplicate_deliveries(stack) - repeated),
        drain_s=drain_s,
        rss_max_mb=peak_mb,
        fresh_s=fresh_s,
        detail=scene.detail,
        violations=(),
    )
    return replace(result, violations=(*violations, *broken(result)))


def run_control(stack: Stack, name: str, scenario: Scenario, seed: int, scale: Scale) -> Result:
    """A trial with a station that is wrong on purpose; its result must show that something was lost or doubled."""
    result = run(stack, name, scenario, seed, scale, "", is_control=True)
    stack.database.mend()
    return result


def broken(result: Result) -> list[str]:
    """What must never be, and is."""
    return [f"{getattr(result, name)} {name}" for name in NEVER if getattr(result, name)]


def _fresh_arrives(stack: Stack) -> bool:
    key = stack.radio.fresh()
    return _comes(lambda: stack.audit.has(key), FRESH_S)


def _drains(stack: Stack, scene: Scene, violations: list[str], is_control: bool) -> bool:
    """Let the burst end, and wait until all of it has arrived."""
    if not _comes(lambda: stack.radio.unsent == 0, ANSWER_S):
        violations.append(f"{stack.radio.unsent} readings could not be sent within {ANSWER_S:g} s")
    stack.quiet()
    if not _comes(lambda: stack.is_idle, ANSWER_S):
        violations.append(f"a frame was not answered within {ANSWER_S:g} s")
    if is_control:
        _comes(lambda: not stack.audit.unfinished() or stack.audit.still_s > STILL_S, DRAIN_S)
        return False
    if _comes(lambda: not stack.audit.unfinished(scene.lost), DRAIN_S):
        return True
    violations.append(f"not drained within {DRAIN_S:g} s: {stack.audit.unfinished(scene.lost)}")
    return False


def _comes(truth: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not truth():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _duplicate_deliveries(stack: Stack) -> float:
    return stack.server.count("aoii_readings_processed_total", outcome="duplicate")


def _difference(after: Count, before: Count) -> Count:
    return Count(*(getattr(after, field.name) - getattr(before, field.name) for field in fields(Count)))


def _since(instant_s: float) -> float:
    return round(time.monotonic() - instant_s, 2)


def commit_of(folder: Path) -> str:
    """Name of the commit in `folder`, with `-dirty` when files differ from it."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"
