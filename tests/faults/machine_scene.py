"""What a scenario that loses machines is made of: the trial as it sees it, and what it must say of itself."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from faults.copies import Copies
from faults.installation import Gateway, Installation, Layout
from faults.recorder import Key
from servers import until

WAIT_S = 60.0
LOOK_PAUSE_S = 0.3  # between two looks: the proxies share this process, and a busy one lets the stations' answers wait


@dataclass
class Scene:
    """One trial: the installation, its chances; `detail` is what the scenario wants to be read later.

    Attributes:
        lost: Readings of which no copy was left right after the losses.
        alone: Readings of which the database, and perhaps a node, had the only copies right after the losses. Nothing
            makes another when the node's ring goes on: they are what a backup is for.
    """

    installation: Installation
    rng: random.Random
    detail: str = ""
    lost: frozenset[Key] = frozenset()
    alone: frozenset[Key] = frozenset()

    @property
    def gateway(self) -> Gateway:
        """The gateway that answers."""
        return self.installation.gateways[0]

    def burst(self, samples: int) -> None:
        """Have samples taken, and most of them acknowledged."""
        self.installation.field.load(samples)
        until(lambda: self.installation.field.unsent == 0, WAIT_S, "the burst is sent")

    def mid_burst(self, samples: int) -> None:
        """Begin a burst, and return at a random moment of it."""
        recorder = self.installation.recorder
        self.installation.field.load(samples)
        wanted = recorder.accepted + self.rng.randrange(samples // 4, samples // 2)
        until(lambda: recorder.accepted >= wanted, WAIT_S, "readings are accepted")

    def drain(self) -> Copies:
        """Send no more, and wait until everything accepted has arrived; what there is then."""
        self.installation.field.quiet()
        until(lambda: self.installation.field.is_idle, WAIT_S, "every frame is answered")
        until(self._is_drained, WAIT_S, "everything accepted is stored")
        return self.installation.look()

    def _is_drained(self) -> bool:
        time.sleep(LOOK_PAUSE_S)
        copies = self.installation.look()
        return not copies.under_way and not copies.missing(self.installation.recorder)

    def note_losses(self) -> None:
        """To be called when machines are lost and before anything starts again: what can never come back."""
        copies = self.installation.look()
        machines = copies.machines()
        accepted = self.installation.recorder.all_accepted()
        self.lost = frozenset(key for key in accepted if not machines[key])
        on_gateways = copies.on_gateways()
        self.alone = frozenset(key for key in accepted if key in copies.rows and key not in on_gateways)

    def only_nodes_have_the_rest(self) -> bool:
        """Whether everything that is missing and has a copy is held by nodes alone."""
        time.sleep(LOOK_PAUSE_S)
        copies = self.installation.look()
        return copies.missing(self.installation.recorder) - self.lost <= copies.nodes

    def step_clocks(self, offset_s: float) -> None:
        """Start all stations with a wall clock that is wrong by so much."""
        for station in self.installation.stations:
            station.stop()
            station.start("hasty+wrong_clock", CLOCK_OFFSET_S=str(offset_s))
        self.installation.await_part()

    def pause(self, longest_s: float) -> None:
        """Wait a random time."""
        time.sleep(self.rng.uniform(0, longest_s))

    def perhaps(self) -> bool:
        """True in half of the trials."""
        return self.rng.random() < 0.5


Inject = Callable[[Scene], None]


@dataclass(frozen=True)
class Loss:
    """What is lost, and in which installation.

    Attributes:
        when: What happens, to follow "nothing is lost or doubled when".
        inject: Makes it happen.
        layout: What the installation is made of.
        is_lossy: More is lost than the promise covers: exactly `Scene.lost` must be missing.
        is_capped: The gateways keep little on purpose, so that old readings have no second copy; and the ledger must
            call exactly `Scene.lost` lost.
        is_harmless: Nothing is lost at all, so the server must ask for nothing that was accepted.
        is_forged: Somebody claims numbers that no node has sent; they may be called open, and nothing else.
        figure: Of a control: the figure of the result that must be above 0.
    """

    when: str
    inject: Inject
    layout: Layout = field(default_factory=Layout)
    is_lossy: bool = False
    is_capped: bool = False
    is_harmless: bool = False
    is_forged: bool = False
    figure: str = ""
