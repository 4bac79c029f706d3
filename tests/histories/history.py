"""One history: nodes, gateways, broker, server and database for a day and some hours, and whether all was kept."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from aoii.server import ledger
from aoii.server.database_errors import DatabaseAway
from aoii.server.ledger_facts import open_facts
from histories import stage
from histories.field import PERIOD_S, Air, SimulatedNode
from histories.machines import EPOCH, KEYS, GatewayMachine, ServerMachine, new_database
from histories.outlines import ALL_DEAF, ALL_LOST, END_MS, HEALED_MS, HOUR_MS, LOSSES, QUIET_MS, Fault, Outline

DECADE_MS = 10 * 365 * 86_400_000
SURVEY_MS = 4 * HOUR_MS
SLOW_HOP_MS = (2, 1_700)  # no fault: a reading is there within QUICK_S nevertheless
EARLY_MS = 4_000  # at most, before a node sends, an audit is requested: gateways report what is on its way then
TALKATIVE = 0.4  # in the time of repair: what a node is asked for comes only when it has something to say
ALIKE_LIMIT = 2  # then too: one node in sixty would else be silent until the end, and answer nothing

Identity = tuple[str, int, int]


@dataclass
class Verdict:
    """What became of a history.

    Attributes:
        problems: What must never be, in words; empty if all is well.
        readings: What the nodes saw acknowledged.
        lines: What happened, if it was to be written down.
    """

    outline: Outline
    problems: list[str] = field(default_factory=list)
    readings: int = 0
    packets: int = 0
    crashes: int = 0
    lines: list[str] = field(default_factory=list)


def run(outline: Outline, is_verbose: bool = False) -> Verdict:
    """Let a history happen. `stage.set_up` must be in force."""
    history = History(outline)
    if is_verbose:
        history.scene.lines = history.verdict.lines
    try:
        history.happen()
    except Exception as error:  # whatever is raised here would have ended a thread of a station
        if is_verbose:
            raise
        history.problem(f"a station fails with {type(error).__name__}: {error}")
    return history.verdict


class History:
    """A history while it happens."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.verdict = Verdict(outline)
        self.scene = stage.Scene(outline.seed)
        stage.begin(self.scene)
        self.scene.reach = self._reach
        self.timeline = self.scene.timeline
        self.broker = self.scene.broker
        self.air = Air(self.scene)
        self.database = new_database()
        self.server = ServerMachine(self.scene, self.database, outline.is_audited)
        self.gateways = [
            GatewayMachine(name, rank, self.scene, self.air)
            for rank, name in enumerate(("first", "witness")[: outline.gateways])
        ]
        self.air.gateways.extend(self.gateways)
        self.nodes = [
            SimulatedNode(number, EPOCH, KEYS[number].key, self.scene, self.air, outline.restlessness, outline.slots)
            for number in range(1, outline.nodes + 1)
        ]
        self.air.nodes.update({node.number: node for node in self.nodes})
        self._has_lost = False
        self._dumps: dict[Fault, bytes] = {}

    def happen(self) -> None:
        for machine in (self.server, *self.gateways):
            machine.start()
        for node in self.nodes:
            node.boot()
        for fault in self.outline.faults:
            self.timeline.at(fault.at_ms, lambda one=fault: self._begin(one))  # type: ignore[misc]
            if fault.kind == "database_restored":
                self.timeline.at(round(fault.at_ms * fault.share), lambda one=fault: self._dump(one))  # type: ignore[misc]
        for at_ms in range(SURVEY_MS, QUIET_MS, SURVEY_MS):
            self.timeline.at(at_ms, self._survey)
        if self.outline.is_healthy and self.outline.is_audited:
            self._request_audits()
        self.timeline.run(HEALED_MS)
        self._heal()
        self.timeline.run(QUIET_MS)
        for node in self.nodes:
            node.be_quiet()
        self.timeline.run(END_MS)
        self._judge()

    def problem(self, words: str) -> None:
        self.scene.log(f"PROBLEM: {words}")
        if words not in self.verdict.problems:
            self.verdict.problems.append(words)

    def _request_audits(self) -> None:
        """Have audits requested when a reading is under way, in a slow network: it must not be taken for missing.

        A node that sends now takes its next sample a period later, and may send then.
        """
        self.broker.hop_range_ms = SLOW_HOP_MS
        chance = self.scene.chance

        def request_soon() -> None:
            self.timeline.after(1000 * PERIOD_S - chance.randint(0, EARLY_MS), self.server.request_audit)

        self.air.on_packet = request_soon

    # What goes wrong.

    def _begin(self, fault: Fault) -> None:
        self.scene.log(str(fault))
        if fault.kind in (*LOSSES, ALL_LOST):
            self._survey()
            self._has_lost = True
        begin: Callable[[Fault], Callable[[], None] | None] = getattr(self, f"_{fault.kind}")
        end = begin(fault)
        if end is not None:
            self.timeline.after(fault.lasts_ms, end)

    def _gateway(self, fault: Fault) -> GatewayMachine:
        return self.gateways[fault.who % len(self.gateways)]

    def _node(self, fault: Fault) -> SimulatedNode:
        return self.nodes[fault.who % len(self.nodes)]

    def _radio_bad(self, fault: Fault) -> Callable[[], None]:
        key = self._gateway(fault).name, fault.who % 4 < 2
        self.air.loss[key] = 0.2 + 0.8 * fault.share
        return lambda: self.air.loss.update({key: 0.0})

    def _radio_deaf(self, fault: Fault) -> Callable[[], None]:
        deaf = self.gateways if fault.share >= ALL_DEAF else [self._gateway(fault)]
        for gateway in deaf:
            gateway.is_deaf = True

        def end() -> None:
            for gateway in deaf:
                gateway.is_deaf = False

        return end

    def _radio_copies(self, fault: Fault) -> Callable[[], None]:
        self.air.copies = fault.share / 2
        return lambda: setattr(self.air, "copies", 0.0)

    def _node_power(self, fault: Fault) -> None:
        self._node(fault).cut_power()

    def _node_torn_write(self, fault: Fault) -> None:
        self._node(fault).cut_power_in_write(fault.who, round(24 * fault.share))

    def _node_sleeps(self, fault: Fault) -> Callable[[], None]:
        node = self._node(fault)
        node.sleeps = True
        return lambda: setattr(node, "sleeps", False)

    def _gateway_killed(self, fault: Fault) -> Callable[[], None]:
        gateway = self._gateway(fault)
        gateway.kill()
        return gateway.start

    def _gateway_crash(self, fault: Fault) -> None:
        self._gateway(fault).crash_at = fault.point, 1 + round(4 * fault.share)

    def _gateway_cut_off(self, fault: Fault) -> Callable[[], None]:
        gateway = self._gateway(fault)
        gateway.cut_off(True)
        return lambda: gateway.cut_off(False)

    def _gateway_clock(self, fault: Fault) -> Callable[[], None]:
        clock = self._gateway(fault).clock
        clock.step(DECADE_MS if fault.share < 0.5 else -DECADE_MS)
        return lambda: clock.step(0)

    def _broker_down(self, fault: Fault) -> Callable[[], None]:
        self.broker.stop()
        return lambda: self.broker.start(False)

    def _broker_empty(self, fault: Fault) -> Callable[[], None]:
        self.broker.stop()
        return lambda: self.broker.start(True)

    def _broker_loses(self, fault: Fault) -> Callable[[], None]:
        self.broker.loss = fault.share
        return lambda: setattr(self.broker, "loss", 0.0)

    def _broker_copies(self, fault: Fault) -> Callable[[], None]:
        self.broker.copies = fault.share
        return lambda: setattr(self.broker, "copies", 0.0)

    def _server_killed(self, fault: Fault) -> Callable[[], None]:
        self.server.kill()
        return self.server.start

    def _server_crash(self, fault: Fault) -> None:
        self.server.crash_at = fault.point, 1 + round(4 * fault.share)

    def _server_cut_off(self, fault: Fault) -> Callable[[], None]:
        self.server.cut_off(True)
        return lambda: self.server.cut_off(False)

    def _server_clock(self, fault: Fault) -> Callable[[], None]:
        self.scene.time.step_ms = DECADE_MS if fault.share < 0.5 else -DECADE_MS
        return lambda: setattr(self.scene.time, "step_ms", 0)

    def _database_down(self, fault: Fault) -> Callable[[], None]:
        self.database.is_up = False
        return lambda: setattr(self.database, "is_up", True)

    def _database_unsure(self, fault: Fault) -> None:
        self.database.unsure = 1 + fault.who // 3

    def _gateway_lost(self, fault: Fault) -> Callable[[], None]:
        gateway = self._gateway(fault)
        gateway.kill()
        gateway.disk.lose()
        return gateway.start

    def _gateways_lost(self, fault: Fault) -> None:
        for gateway in self.gateways:
            gateway.kill()
            gateway.disk.lose()
            self.timeline.after(fault.lasts_ms, gateway.start)

    def _node_dies(self, fault: Fault) -> None:
        self._node(fault).die()

    def _server_lost(self, fault: Fault) -> Callable[[], None]:
        self.server.kill()
        self.server.disk.lose()
        return self.server.start

    def _database_replaced(self, fault: Fault) -> None:
        self.database.replace(fault.share < 0.5)

    def _dump(self, fault: Fault) -> None:
        self._dumps[fault] = self.database.dump()

    def _database_restored(self, fault: Fault) -> None:
        self.database.restore(self._dumps[fault])

    def _commits_lost(self, fault: Fault) -> None:
        self.scene.log(f"{self.database.lose_last(1 + round(40 * fault.share))} rows are gone")

    def _reach(self, name: str) -> None:
        if name == "after_database_commit" and self.database.unsure:
            self.database.unsure -= 1
            raise DatabaseAway("unreachable", "the answer to a commit is lost")

    def _heal(self) -> None:
        """End whatever is still wrong."""
        self.scene.log("all is well from here on")
        self.air.loss.clear()
        self.air.copies = self.broker.loss = self.broker.copies = 0.0
        self.scene.time.step_ms = self.database.unsure = 0
        self.database.is_up = True
        if not self.broker.is_up:
            self.broker.start(False)
        for machine in (self.server, *self.gateways):
            machine.crash_at = None
            machine.cut_off(False)
            machine.start()
        for gateway in self.gateways:
            gateway.is_deaf = False
            gateway.clock.step(0)
        for node in self.nodes:
            node.flash.cut_at = -1
            node.restlessness = max(node.restlessness, TALKATIVE)
            node.alike_limit = ALIKE_LIMIT

    # What must hold.

    def _truth(self) -> dict[Identity, tuple[int, int]]:
        return {
            (str(node.number), node.epoch, counter): content
            for node in self.nodes
            for counter, content in node.acknowledged.items()
        }

    def _copies(self) -> list[set[Identity]]:
        """What each machine has: the nodes together, each gateway, the database, and the server."""
        of_nodes = {(str(node.number), node.epoch, counter) for node in self.nodes if not node.is_dead
                    for counter in node.held()}  # fmt: skip
        of_gateways = [one.identities("events") | one.identities("kept") for one in self.gateways]
        of_database = {row[:3] for row in self.database.rows()}
        return [of_nodes, *of_gateways, of_database, self.server.letters()]

    def _survey(self) -> None:
        """On the way: while no machine was lost, two machines have everything that was acknowledged."""
        self._check_void()
        if not self._has_lost:
            self._check_copies()

    def _check_copies(self) -> None:
        *machines, database, letters = self._copies()
        has_file = set().union(*machines[1:])
        for who in self._truth():
            count = sum(who in one for one in (*machines, database, letters))
            if count < 2 and not self.outline.forgets:
                self.problem(f"single: {who} is at {count} machine")
        if not self.outline.loses_files:
            for who in sorted((database | letters) - has_file):
                self.problem(f"kept: no gateway has {who} any more")

    def _judge(self) -> None:
        """At the end, when everything has been well for hours."""
        rows = list(self.database.rows())
        stored = {row[:3]: row[3:] for row in rows}
        self.verdict.readings, self.verdict.packets = len(self._truth()), self.air.packets
        self.verdict.crashes = sum(one.crashes for one in (self.server, *self.gateways))
        for error in self.scene.errors:
            self.problem(f"a station fails with {error}")
        if len(stored) != len(rows):
            self.problem(f"duplicates: {len(rows) - len(stored)}")
        self._check_rows(stored)
        self._check_drained()
        self._check_events(stored.keys())
        self._check_void()
        self._check_unknown()
        self._check_ledger()
        if not self.outline.forgets:
            self._check_copies()
        if self.outline.is_healthy and (self.air.asks or self.server.holes_asked):
            self.problem(f"healthy, and {self.server.holes_asked} holes and {self.air.asks} nodes were asked")
        if self.outline.is_healthy and self.air.answers["witness"]:
            self.problem(f"healthy, and the witness has answered {self.air.answers['witness']} times")

    def _check_rows(self, stored: Mapping[Identity, tuple[int, ...]]) -> None:
        """Every reading that was acknowledged is there, as it was sent, and nothing else."""
        accounted = self._accounted() if self.outline.forgets and self.outline.has_loss else set()
        for who in self._truth():
            if who not in stored and who not in accounted:
                self.problem(f"missing: {who}")
        sent = {(str(node.number), node.epoch): node for node in self.nodes}
        for who, content in stored.items():
            if sent[who[:2]].contents.get(who[2]) != content:
                self.problem(f"content: {who} was never sent as {content}")
        for node in self.nodes:
            for counter in node.wrong_contents:
                self.problem(f"content: node {node.number} has used number {counter} twice")

    def _check_drained(self) -> None:
        """Nothing waits anywhere."""
        for node in self.nodes:
            if not node.is_dead and node.waiting():
                self.problem(f"node {node.number} is not done: {node.node.link.ring.waiting} readings wait")
        for gateway in self.gateways:
            if left := gateway.identities("events"):
                self.problem(f"{gateway.name} still has {len(left)} readings in its outbox")
        if letters := self.server.letters():
            self.problem(f"{len(letters)} dead letters are left")

    def _accounted(self) -> set[Identity]:
        """The numbers of which nobody says more than that nobody has them."""
        return {
            (node, epoch, number)
            for node, epoch, first, last, state in self.database.gaps()
            if state in ("unknown", "lost")
            for number in range(first, last + 1)
        }

    def _check_events(self, stored: Collection[Identity]) -> None:
        """An event is in the flash before it is sent, so nothing but a torn write can lose it."""
        if self.outline.forgets or any(fault.kind == "node_torn_write" for fault in self.outline.faults):
            return
        for node in self.nodes:
            if node.is_dead:
                continue
            lost = [counter for counter in node.events if (str(node.number), node.epoch, counter) not in stored]
            if lost:
                self.problem(f"events {lost} of node {node.number} never arrived")

    def _check_void(self) -> None:
        """Nothing is called void that a node saw acknowledged."""
        truth = self._truth()
        for node, epoch, first, last, state in self.database.gaps():
            if state == "void":
                for who in truth:
                    if who[:2] == (node, epoch) and first <= who[2] <= last:
                        self.problem(f"false void: {who}")

    def _check_unknown(self) -> None:
        """Without a loss and a torn write, a node that forgets nothing proves which numbers it has never used."""
        is_torn = any(fault.kind == "node_torn_write" for fault in self.outline.faults)
        if self._has_lost or self.outline.forgets or is_torn:
            return
        for node, epoch, first, last, state in self.database.gaps():
            if state == "unknown":
                self.problem(f"unknown: {first} to {last} of node {node}, epoch {epoch}, which it has never used")

    def _check_ledger(self) -> None:
        dead = {str(node.number) for node in self.nodes if node.is_dead}  # they answer nobody
        with open_facts(self.server.pool(), self.server.identities()) as facts:
            for key in facts.keys:
                account = ledger.account(facts.facts(key))
                if not account.is_balanced:
                    self.problem(f"ledger: {account} is not balanced")
                unsettled = account.open or account.waiting or (account.lost and not self.outline.forgets)
                if self.outline.is_audited and unsettled and key[0] not in dead:
                    self.problem(f"ledger: {account} is not settled")
