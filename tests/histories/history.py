"""One history: nodes, gateways, broker, server and database for a day and some hours, and whether all was kept."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from aoii.server.database_errors import DatabaseAway
from histories import stage
from histories.database import new_database
from histories.field import PERIOD_S, Air, SimulatedNode
from histories.installation import EPOCH, KEYS
from histories.judgement import Judge
from histories.machines import GatewayMachine, ServerMachine
from histories.outlines import (
    ALL_DEAF,
    ALL_LOST,
    END_MS,
    HEALED_MS,
    HOUR_MS,
    LOSSES,
    QUIET_MS,
    REFUSED_FOR_GOOD,
    Fault,
    Outline,
)

DECADE_MS = 10 * 365 * 86_400_000
SURVEY_MS = 4 * HOUR_MS
SLOW_HOP_MS = (2, 1_700)  # no fault: a reading is there within QUICK_S nevertheless
EARLY_MS = 4_000  # at most, before a node sends, an audit is requested: gateways report what is on its way then
TALKATIVE = 0.4  # in the time of repair: what a node is asked for comes only when it has something to say
REPLAY_MS = 3 * HOUR_MS  # then too: until a person replays what the database had refused
ALIKE_LIMIT = 2  # then too: one node in sixty would else be silent until the end, and answer nothing


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
        self.judge = Judge(outline, self.nodes, self.gateways, self.server, self.problem)
        self._dumps: dict[Fault, bytes] = {}
        self._refused_for_good: list[tuple[int, int]] = []
        self.server.on_look = self.judge.check_given_up
        for gateway in self.gateways:
            gateway.keep_bytes = outline.keep_bytes

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
            self.timeline.at(at_ms, self.judge.survey)
        if self.outline.is_healthy and self.outline.is_audited:
            self._request_audits()
        self.timeline.run(HEALED_MS)
        self._heal()
        self.timeline.run(QUIET_MS)
        for node in self.nodes:
            node.be_quiet()
        self.timeline.run(END_MS)
        for error in self.scene.errors:
            self.problem(f"a station fails with {error}")
        self.judge.judge(self.air.asks, self.air.answers)
        self.verdict.readings, self.verdict.packets = len(self.judge.truth()), self.air.packets
        self.verdict.crashes = sum(one.crashes for one in (self.server, *self.gateways))

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
            self.judge.survey()
            self.judge.has_lost = True
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

    def _database_refuses(self, fault: Fault) -> Callable[[], None]:
        """It refuses some readings, for a while or for good; afterwards a person replays the dead letters."""
        divisor = 2 + fault.who % 5
        rule = divisor, round(97 * fault.share) % divisor
        self.database.refuses.append(rule)

        def end() -> None:
            if rule not in self._refused_for_good and rule in self.database.refuses:
                self.database.refuses.remove(rule)
            self.server.replay_refused()

        if fault.share < REFUSED_FOR_GOOD:
            self._refused_for_good.append(rule)
        return end

    def _gateway_restarts(self, fault: Fault) -> None:
        """The process of a gateway restarts now and then."""
        gateway, chance = self._gateway(fault), random.Random(f"restarts {fault.share}")

        def restart() -> None:
            gateway.kill()
            self.timeline.after(chance.randint(500, 30_000), gateway.start)

        for _ in range(8):
            self.timeline.after(chance.randrange(fault.lasts_ms), restart)

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
        self.database.refuses = list(self._refused_for_good)
        self.timeline.after(REPLAY_MS, self.server.replay_refused)
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
