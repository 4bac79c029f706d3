"""`make faults`: trial after trial on running stacks, one JSON object each, and what the whole of it is worth.

Each worker is a process with a stack of its own, which lives through many trials; after a trial that broke a promise
its files are kept and a new stack is started. A campaign that is called again with the same `OUT` goes on where it was.
"""

import contextlib
import json
import multiprocessing
import os
import queue
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TypeVar

from faults import report
from faults.installation import Site
from faults.machine_trial import run_machines
from faults.machines import MACHINE_CONTROLS, MACHINES
from faults.scenarios import CONTROLS, LONG, SCENARIOS, Scale, Skipped
from faults.stack import Stack
from faults.trial import NEVER, Result, commit_of, run, run_control

R = TypeVar("R", Stack, Site)

GROUPS = {"processes": (*SCENARIOS, *CONTROLS), "machines": (*MACHINES, *MACHINE_CONTROLS)}
ALL_CONTROLS = (*CONTROLS, *MACHINE_CONTROLS)
ALL = tuple(name for group in GROUPS.values() for name in group)
INTERRUPTED = 130  # as a shell says it
ROOT = Path(__file__).parent.parent.parent
HELP = """\
Settings, from the environment:
  TRIALS     trials in all, dealt to the scenarios in turn (default: one each)
  SCENARIOS  names of scenarios, controls and groups, separated by commas (default: all of them, and the alerts).
             Groups: processes (kills, freezes, cuts), machines (a machine is lost with its disk), alerts (alone)
  SEED       of the first trial of each scenario; the next has the next (default: drawn, and printed)
  OUT        file for the results, one JSON object a line; those that are there are not run again (default: none)
  WORKERS    stacks that work side by side (default: 1)
  BACKLOG    readings of the scenario backlog (default: 50000)
  FORGERIES  tries of the scenario spoofing (default: 1000000)
  FREEZE_S   seconds for which the freezes last (default: 60)
"""


@dataclass(frozen=True)
class Request:
    """What one call is asked to do."""

    trials: int
    names: tuple[str, ...]
    controls: tuple[str, ...]
    seed: int
    out: Path | None
    workers: int
    scale: Scale
    commit: str


@dataclass(frozen=True)
class Task:
    """One trial to be run."""

    name: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a result, or why there is none (`skipped`)."""

    task: Task
    result: Result | None
    skipped: str = ""


def read_request(environ: Mapping[str, str]) -> Request:
    """The request that the environment asks for.

    Raises:
        ValueError: A value cannot be used; the text says which and what can.
    """
    given = [name for name in environ.get("SCENARIOS", "").split(",") if name] or list(GROUPS)
    wanted = list(dict.fromkeys(each for name in given for each in GROUPS.get(name, (name,))))
    if unknown := [name for name in wanted if name not in ALL]:
        raise ValueError(
            f"no scenario is named {', '.join(unknown)}; there are {', '.join(ALL)}, and the groups {', '.join(GROUPS)}"
        )
    names = tuple(name for name in wanted if name not in ALL_CONTROLS)
    out = Path(environ["OUT"]) if environ.get("OUT") else None
    earlier = read_results(out)
    begun = min((result.seed for result in earlier), default=random.SystemRandom().randrange(1_000_000))
    return Request(
        trials=_whole(environ, "TRIALS", len(names)),
        names=names,
        controls=tuple(name for name in wanted if name in ALL_CONTROLS),
        seed=_whole(environ, "SEED", begun),
        out=out,
        workers=max(1, _whole(environ, "WORKERS", 1)),
        scale=replace(
            LONG,
            backlog=_whole(environ, "BACKLOG", LONG.backlog),
            forgeries=_whole(environ, "FORGERIES", LONG.forgeries),
            freeze_s=float(_whole(environ, "FREEZE_S", int(LONG.freeze_s))),
        ),
        commit=commit_of(ROOT),
    )


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal():
        raise ValueError(f'{name} is "{text}"; use a whole number')
    return int(text)


def read_results(out: Path | None) -> list[Result]:
    """The results that a file holds; a last line that a kill has torn is left out."""
    if out is None or not out.exists():
        return []
    lines = out.read_text().split("\n")[:-1]
    return [Result(**json.loads(line) | {"violations": tuple(json.loads(line)["violations"])}) for line in lines]


def tasks(request: Request, done: Iterable[Result]) -> Iterator[Task]:
    """What is left to do, in order: the scenarios in turn, so that a campaign that is cut short has tried them all."""
    known = {(result.scenario, result.seed) for result in done}
    for number in range(request.trials):
        task = Task(request.names[number % len(request.names)], request.seed + number // len(request.names))
        if (task.name, task.seed) not in known:
            yield task


def main() -> int:
    """Run the campaign that the environment asks for.

    Returns:
        0 when every promise was kept and every control has failed, 1 when not, 2 for a setting that cannot be used,
        130 when it was interrupted: its report speaks of the trials so far.
    """
    try:
        request = read_request(os.environ)
    except ValueError as error:
        print(f"faults: {error}\n\n{HELP}", file=sys.stderr)
        return 2
    results = read_results(request.out)
    todo = list(tasks(request, results)) if request.names else []
    todo += [Task(name, request.seed) for name in request.controls]
    print(f"seed {request.seed}, commit {request.commit}, {len(todo)} trials on {request.workers} stacks", flush=True)
    _end_in_order()
    controls: list[Result] = []
    skipped: dict[str, str] = {}
    is_cut_short = True
    with contextlib.suppress(KeyboardInterrupt), _workers(request, todo) as outcomes:
        for number in range(len(todo)):
            outcome = outcomes.get()
            print(f"{number + 1:5}/{len(todo)} {_line(outcome)}", flush=True)
            if outcome.result is None:
                skipped[outcome.task.name] = outcome.skipped
            elif outcome.task.name in ALL_CONTROLS:
                controls.append(outcome.result)
            else:
                results.append(outcome.result)
                _append(request.out, outcome.result)
        is_cut_short = False
    found = report.summary(results, controls, skipped)
    print(report.text(found))
    if request.out is not None:
        path = request.out.with_suffix(".report.json")
        path.write_text(json.dumps(found | {"machine": report.machine(), "seed": request.seed}, indent=2) + "\n")
    if is_cut_short:
        print(f"interrupted; seed {request.seed}" + (f" and OUT={request.out} go on from here" if request.out else ""))
        return INTERRUPTED
    return 0 if report.is_good(found) else 1


def _append(out: Path | None, result: Result) -> None:
    if out is not None:
        with out.open("a") as file:
            file.write(json.dumps(result.as_dict()) + "\n")


def _line(outcome: Outcome) -> str:
    result = outcome.result
    if result is None:
        return f"{outcome.task.name} skipped: {outcome.skipped}"
    numbers = ", ".join(f"{getattr(result, name)} {name}" for name in ("accepted", *NEVER, "duplicate_deliveries"))
    verdict = "VIOLATED " + "; ".join(result.violations) if result.violations else "kept"
    if outcome.task.name in ALL_CONTROLS:
        verdict = "control bites" if report.bites(result) else "CONTROL FINDS NOTHING"
    detail = f", {result.detail}" if result.detail else ""
    drained = "" if result.drain_s is None else f"; drained in {result.drain_s} s"
    return f"{result.scenario} seed {result.seed}: {numbers}{detail}{drained}; {verdict}"


@contextlib.contextmanager
def _workers(request: Request, todo: list[Task]) -> "Iterator[Queue[Outcome]]":
    """Processes that work the tasks off; outcomes come in any order."""
    context = multiprocessing.get_context("spawn")
    waiting: Queue[Task | None] = context.Queue()
    outcomes: Queue[Outcome] = context.Queue()
    for task in [*todo, *[None] * request.workers]:
        waiting.put(task)
    processes = [
        context.Process(target=_work, args=(request, number, waiting, outcomes), daemon=False)
        for number in range(min(request.workers, len(todo)))
    ]
    for process in processes:
        process.start()
    try:
        yield outcomes
    finally:
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        for _ in processes:
            waiting.put(None)
        for process in processes:
            process.join()


def _work(request: Request, number: int, waiting: "Queue[Task | None]", outcomes: "Queue[Outcome]") -> None:
    _end_in_order()
    parent = multiprocessing.parent_process()
    with contextlib.suppress(KeyboardInterrupt), _Workplace(request.seed + number) as place:
        while (task := waiting.get()) is not None and parent is not None and parent.is_alive():
            outcomes.put(place.work(task, request))


def _end_in_order() -> None:
    """Have SIGTERM, and SIGINT even where a shell has it ignored, end the campaign as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


class _Workplace:
    """One worker's stack or site, replaced when it is no longer whole, or when the other kind is needed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._running: Stack | Site | None = None
        self._folder: Path | None = None

    def __enter__(self) -> "_Workplace":
        return self

    def __exit__(self, *_: object) -> None:
        self._clear(keep=False)

    def work(self, task: Task, request: Request) -> Outcome:
        try:
            result = self._try(task, request)
        except Skipped as reason:
            return Outcome(task, None, str(reason))
        except Exception as error:  # whatever it is: it belongs into the report, and the next trial needs a whole stack
            traceback.print_exc()
            result = _unfinished(task, request.commit, f"{type(error).__name__}: {error}")
        if result.violations:
            self._clear(keep=task.name not in ALL_CONTROLS)
        return Outcome(task, result)

    def _try(self, task: Task, request: Request) -> Result:
        if task.name in GROUPS["machines"]:
            loss = {**MACHINES, **MACHINE_CONTROLS}[task.name]
            return run_machines(self._site(), task.name, loss, task.seed, request.commit)
        stack = self._stack()
        if task.name in CONTROLS:
            return run_control(stack, task.name, CONTROLS[task.name], task.seed, request.scale)
        return run(stack, task.name, SCENARIOS[task.name], task.seed, request.scale, request.commit)

    def _stack(self) -> Stack:
        if not isinstance(running := self._running, Stack):
            running = self._running = self._start(lambda folder: Stack(folder, self._seed))
        return running

    def _site(self) -> Site:
        if not isinstance(running := self._running, Site):
            running = self._running = self._start(Site)
        return running

    def _start(self, make: Callable[[Path], R]) -> R:
        self._clear(keep=False)
        folder = self._folder = Path(tempfile.mkdtemp(prefix="aoii-faults-"))
        running = make(folder)
        running.__enter__()
        return running

    def _clear(self, keep: bool) -> None:
        running, self._running = self._running, None
        folder, self._folder = self._folder, None
        if running is not None:
            running.__exit__(None, None, None)
        if folder is None:  # nothing was begun; an empty path would be the folder in which this runs
            return
        if keep:
            print(f"files of the broken trial: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _unfinished(task: Task, commit: str, reason: str) -> Result:
    return Result(
        task.name, task.seed, commit, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, 0.0, None, "", (f"not finished: {reason}",)
    )


if __name__ == "__main__":
    raise SystemExit(main())
