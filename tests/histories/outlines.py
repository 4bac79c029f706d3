"""Outlines: what shall happen in a history, drawn from its seed, as values that can be printed and shrunk."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

HOUR_MS = 3_600_000
FAULTS_MS = 18 * HOUR_MS  # no fault begins later
HEALED_MS = 20 * HOUR_MS  # from here on nothing is wrong any more, but that gateways may restart for two hours
QUIET_MS = 49 * HOUR_MS // 2  # from here on nodes take no samples
END_MS = 26 * HOUR_MS

RING_SLOTS, SMALL_SLOTS = 126, 7
FEW_BYTES = (13_312, 17_408, 25_600)  # for kept readings: from a few up to about thirty; an empty file takes 8,192
REFUSED_FOR_GOOD = 0.3  # from this share on, the database takes again what it has refused

ALL_DEAF = 0.7  # from this share on, no gateway hears anything

GATEWAY_FAILPOINTS = (
    "before_outbox_commit", "after_outbox_commit", "before_kept_commit", "after_kept_commit", "before_radio_ack",
    "after_radio_ack", "before_publish", "after_publish", "before_puback", "after_puback", "before_delete",
    "after_delete",
)  # fmt: skip
SERVER_FAILPOINTS = (
    "before_message_ack", "after_message_ack", "before_commit_ack", "after_commit_ack", "before_database_commit",
    "after_database_commit",
)  # fmt: skip

FAULTS: Mapping[str, int] = {  # how often, against each other
    "radio_bad": 4,
    "radio_deaf": 2,
    "radio_copies": 2,
    "node_power": 3,
    "node_torn_write": 4,
    "node_sleeps": 1,
    "gateway_killed": 3,
    "gateway_crash": 6,
    "gateway_cut_off": 2,
    "gateway_clock": 2,
    "broker_down": 2,
    "broker_empty": 3,
    "broker_loses": 3,
    "broker_copies": 2,
    "server_killed": 2,
    "server_crash": 5,
    "server_cut_off": 1,
    "server_clock": 1,
    "database_down": 4,
    "database_unsure": 3,
}
MORE_FAULTS = (  # drawn after all others, so that a seed has the history that it had before there were these
    "database_refuses", "gateway_restarts",
)  # fmt: skip
OUTAGES = {  # before the loss of a machine, so that it has what no other has
    "gateway_lost": ("database_down", "broker_down", "server_killed"),
    "server_lost": ("database_down",),
}
LOSSES = (  # of a whole machine, or of what it had promised to keep: at most one in a history
    "gateway_lost", "server_lost", "database_replaced", "database_restored", "commits_lost",
)  # fmt: skip
ALL_LOST = (
    "gateways_lost"  # together with a loss of the database: more than is promised, but nothing may be called void
)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        who: Which node or gateway; counted from 0, and taken modulo their number.
        share: A number in [0, 1) for what the kind needs.
        point: A failpoint, for a crash.
    """

    kind: str
    at_ms: int
    lasts_ms: int
    who: int
    share: float
    point: str = ""

    def __str__(self) -> str:
        minutes = self.at_ms // 60_000
        return (
            f"{minutes // 60:02}:{minutes % 60:02} {self.kind} who={self.who} lasts={self.lasts_ms // 1000}s "
            f"share={self.share:.3f} {self.point}"
        )


@dataclass(frozen=True)
class Outline:
    """One history before it happens.

    Attributes:
        gateways: One, or two of which the second is the witness.
        restlessness: Share of samples that are worth a packet.
        is_audited: Whether the server looks for holes.
        slots: Readings that a node's ring holds: 126, or so few that it forgets some.
        keep_bytes: Room for kept readings at each gateway, so little that it forgets some; None: room for all.
    """

    seed: int
    nodes: int
    gateways: int
    restlessness: float
    is_audited: bool
    faults: tuple[Fault, ...]
    slots: int = RING_SLOTS
    keep_bytes: int | None = None

    @property
    def is_healthy(self) -> bool:
        return not self.faults

    @property
    def forgets(self) -> bool:
        """Whether a reading that was acknowledged may be gone from its node, or from node and gateways."""
        return self.slots < RING_SLOTS or (self.keep_bytes is not None and self.has("node_dies"))

    @property
    def has_loss(self) -> bool:
        return any(fault.kind in LOSSES for fault in self.faults)

    @property
    def loses_files(self) -> bool:
        """Whether a gateway loses its disk."""
        return self.has("gateway_lost") or self.has(ALL_LOST)

    def has(self, kind: str) -> bool:
        """Whether a fault is of this kind."""
        return any(fault.kind == kind for fault in self.faults)

    def without(self, faults: tuple[Fault, ...]) -> "Outline":
        return replace(self, faults=tuple(one for one in self.faults if one not in faults))


def draw(seed: int) -> Outline:
    """The outline of a seed."""
    return _with_more(draw_plain(seed))


def draw_plain(seed: int) -> Outline:
    """The outline of a seed without MORE_FAULTS, and with gateways that keep everything."""
    chance = random.Random(f"plan {seed}")
    nodes, gateways = chance.choice((3, 3, 3, 4)), chance.choice((1, 2, 2))
    restlessness = chance.uniform(0.05, 0.35)
    faults: list[Fault] = []
    is_healthy = chance.random() < 0.03
    is_audited = chance.random() < 0.6
    has_loss = is_audited and chance.random() < 0.75
    slots = SMALL_SLOTS if chance.random() < 0.15 else RING_SLOTS
    kinds, weights = list(FAULTS), list(FAULTS.values())
    if not is_healthy:
        focus = chance.sample(kinds, chance.randint(3, len(kinds)))  # some kinds together, again and again
        weights = [weight if kind in focus else 0 for kind, weight in FAULTS.items()]
        faults = [_fault(chance, kind) for kind in chance.choices(kinds, weights, k=chance.randint(5, 12))]
        for cut in [fault for fault in faults if fault.kind == "node_power" and chance.random() < 0.4]:
            faults.append(_deafness_before(chance, cut))
        if has_loss:
            faults += _losses(chance, slots)
    ordered = tuple(sorted(faults, key=lambda fault: fault.at_ms))
    return Outline(seed, nodes, gateways, restlessness, is_audited, ordered, slots)


def _with_more(plain: Outline) -> Outline:
    """An outline with readings that the database refuses, gateways that restart while they repair, or keep little."""
    chance = random.Random(f"more {plain.seed}")
    keep_bytes = chance.choice(FEW_BYTES) if chance.random() < 0.25 else None
    faults = list(plain.faults)
    if faults and chance.random() < 0.35:
        faults += [_fault(chance, "database_refuses") for _ in range(chance.randint(1, 2))]
    if plain.has_loss and chance.random() < 0.4:
        lost = next(fault for fault in faults if fault.kind in LOSSES)
        for at_ms in (lost.at_ms, HEALED_MS):
            faults.append(replace(_fault(chance, "gateway_restarts"), at_ms=at_ms, lasts_ms=2 * HOUR_MS))
    if keep_bytes is not None and chance.random() < 0.7:  # else nothing but the numbers of what was kept would be left
        faults = [fault for fault in faults if fault.kind != ALL_LOST]
    ordered = tuple(sorted(faults, key=lambda fault: fault.at_ms))
    return replace(plain, faults=ordered, keep_bytes=keep_bytes)


def _deafness_before(chance: random.Random, cut: Fault) -> Fault:
    """No gateway hears anything for an hour before a power cut and a while after it: so something waits in the node."""
    deaf = _fault(chance, "radio_deaf")
    return replace(deaf, at_ms=max(0, cut.at_ms - HOUR_MS), lasts_ms=HOUR_MS + 60_000, share=ALL_DEAF)


def _losses(chance: random.Random, slots: int) -> list[Fault]:
    """The loss of a machine, and what makes it worse."""
    if slots < RING_SLOTS:
        lost = _fault(chance, ALL_LOST)
        also = _fault(chance, chance.choice(("database_replaced", "database_restored", "commits_lost")))
        return [lost, replace(also, at_ms=lost.at_ms + chance.randint(0, HOUR_MS // 2))]
    lost = _fault(chance, chance.choice(LOSSES))
    worse: list[Fault] = []
    if lost.kind in OUTAGES and chance.random() < 0.7:
        before_ms = min(lost.at_ms, chance.randint(HOUR_MS // 2, 6 * HOUR_MS))
        outage = _fault(chance, chance.choice(OUTAGES[lost.kind]))
        lasts_ms = before_ms + (HOUR_MS if lost.kind == "server_lost" else chance.randrange(HOUR_MS))
        worse.append(replace(outage, at_ms=lost.at_ms - before_ms, lasts_ms=lasts_ms))
    elif lost.kind not in OUTAGES and chance.random() < 0.3:
        worse.append(replace(_fault(chance, "node_dies"), at_ms=round(lost.at_ms * chance.uniform(0.5, 1.0))))
    return [*worse, lost]


def _fault(chance: random.Random, kind: str) -> Fault:
    points = {"gateway_crash": GATEWAY_FAILPOINTS, "server_crash": SERVER_FAILPOINTS}.get(kind, ("",))
    lasts_ms = round(chance.choice((60_000, 600_000, HOUR_MS, 4 * HOUR_MS)) * chance.uniform(0.2, 1.0))
    return Fault(
        kind, chance.randrange(FAULTS_MS), lasts_ms, chance.randrange(12), chance.random(), chance.choice(points)
    )
