"""One trial that loses machines: an installation of its own, losses under load, healing, repair, counting."""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, replace

from faults.copies import Copies
from faults.installation import Site
from faults.machine_scene import Loss, Scene
from faults.recorder import Key
from faults.trial import Result, broken

REPAIR_S = 120.0
STILL_S = 6.0  # nothing that is missing has come for so long: what has not come is lost
ANSWER_S = 60.0
POLL_S = 0.4


def run_machines(site: Site, name: str, loss: Loss, seed: int, commit: str) -> Result:
    """Build an installation, lose machines of it, and count what there is when it has repaired itself.

    Raises:
        Exception: The trial could not be finished; the site is whole, and its files stay.
    """
    rng = random.Random(f"{name} {seed}")
    violations: list[str] = []
    with site.installation(loss.layout, rng) as installation:
        scene = Scene(installation, rng)
        loss.inject(scene)
        installation.heal()
        healed_s = time.monotonic()
        installation.await_part()
        looks = _Looks(scene, loss)
        is_whole = _repairs(scene, looks)
        drain_s = round(time.monotonic() - healed_s, 2) if is_whole else None
        for station in installation.stations:
            station.note()
            violations += [] if loss.figure else station.faults
        copies = installation.look()
        missing = copies.missing(installation.recorder)
        single = set() if loss.is_capped else copies.single(installation.recorder) - scene.alone
        called_lost = copies.in_state("lost", installation.recorder.all_accepted())
        unbalanced = installation.unbalanced(copies)
        count = asdict(copies.count(installation.recorder)) | {"missing": len(missing - scene.lost)}
        result = Result(
            scenario=name,
            seed=seed,
            commit=commit,
            **count,
            lost_corrupt=0,
            duplicate_deliveries=round(installation.server.count("aoii_readings_processed_total", outcome="duplicate")),
            drain_s=drain_s,
            rss_max_mb=round(max(station.rss_max_mb for station in installation.stations), 1),
            fresh_s=None,
            detail=scene.detail,
            violations=(),
            single=len(single),
            false_void=len(looks.false_void | copies.false_void(installation.recorder)),
            unbalanced=len(unbalanced),
            known_lost=len(missing & scene.lost),
            collisions=installation.field.collisions,
            asked=len(installation.questions.asked() & installation.recorder.all_accepted()),
        )
        if loss.is_lossy and scene.lost - missing:
            violations.append(f"{len(scene.lost - missing)} readings are there of which no copy was left")
        if loss.is_capped and called_lost != scene.lost:
            violations.append(f"{len(called_lost)} readings are called lost, and {len(scene.lost)} are")
        if loss.is_harmless and result.asked:
            violations.append(f"{result.asked} readings were asked for that were under way")
        violations += [*unbalanced, *copies.beyond(installation.recorder, loss.is_forged), *broken(result)]
        if not is_whole and not loss.figure:
            violations.append(f"not whole within {REPAIR_S:g} s: {_why_not(scene, loss, copies)}")
        installation.is_broken = bool(violations)
    return replace(result, violations=tuple(violations))


def _repairs(scene: Scene, looks: "_Looks") -> bool:
    """Go on with a trickle, which carries questions to the nodes, until all is whole; then drain."""
    installation = scene.installation
    field = installation.field
    field.trickle()
    _comes(lambda: field.unsent == 0, ANSWER_S)
    is_whole = _comes(looks.are_repaired, REPAIR_S)
    field.quiet()
    _comes(lambda: field.is_idle, ANSWER_S)
    return _comes(looks.are_whole, ANSWER_S) and is_whole


class _Looks:
    """Looks at an installation again and again, and remembers what it saw.

    Attributes:
        false_void: What any look has shown to be called void falsely.
    """

    def __init__(self, scene: Scene, loss: Loss) -> None:
        self._scene, self._loss = scene, loss
        self.false_void: set[Key] = set()
        self._old = scene.installation.recorder.all_accepted()
        self._missing = len(self._old)  # of the old ones, the fewest so far
        self._since_s = time.monotonic()

    def are_repaired(self) -> bool:
        """Whether all readings from before the losses are whole; what a trickle brings is always under way."""
        return self._have_ended(self._old)

    def are_whole(self) -> bool:
        """Whether all readings are, and nothing is under way."""
        return self._have_ended(None)

    def _have_ended(self, among: set[Key] | None) -> bool:
        """Whether there is nothing left to wait for: in a control, too, when nothing that is missing comes any more."""
        recorder = self._scene.installation.recorder
        copies = self._scene.installation.look()
        self.false_void |= copies.false_void(recorder)
        missing = len(copies.missing(recorder) & self._old)
        if missing < self._missing:
            self._missing, self._since_s = missing, time.monotonic()
        is_still = time.monotonic() - self._since_s > STILL_S
        return not _why_not(self._scene, self._loss, copies, among) or (bool(self._loss.figure) and is_still)


def _why_not(scene: Scene, loss: Loss, copies: Copies, among: set[Key] | None = None) -> str:
    """Why an installation is not whole yet, or not as far as some readings are concerned; empty if it is."""
    recorder = scene.installation.recorder
    asked = recorder.all_accepted() if among is None else among
    if missing := (copies.missing(recorder) - scene.lost) & asked:
        return f"{len(missing)} accepted readings are neither rows nor dead letters, such as {_some(missing)}"
    if among is None and copies.under_way:
        return copies.under_way
    if (single := (copies.single(recorder) - scene.alone) & asked) and not loss.is_capped:
        return f"{len(single)} readings are on one machine alone, such as {_some(single)}"
    if loss.is_capped and (uncalled := scene.lost - copies.in_state("lost", scene.lost)):
        return f"{len(uncalled)} readings are lost and not called so, such as {_some(set(uncalled))}"
    return ""


def _some(keys: set[Key]) -> str:
    return ", ".join(map(str, sorted(keys)[:3]))


def _comes(truth: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not truth():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True
