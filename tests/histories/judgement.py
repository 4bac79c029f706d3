"""What must hold in a history: on the way, after each look of the audit, and at the end."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from aoii.server import ledger
from aoii.server.ledger_facts import open_facts
from histories.database import DatabaseMachine, GapRow
from histories.field import Content, SimulatedNode
from histories.machines import GatewayMachine, ServerMachine
from histories.outlines import Outline

Who = tuple[str, int, int]
"""Node, epoch and number of a reading."""


class Judge:
    """Compares what the machines have with the truth: what the nodes saw acknowledged.

    Args:
        outline: The history.
        nodes: Its nodes.
        gateways: Its gateways.
        server: Its server.
        problem: Called with each thing that must not be, in words.

    Attributes:
        has_lost: Whether a machine was lost, or what it had promised to keep.
    """

    def __init__(
        self,
        outline: Outline,
        nodes: Sequence[SimulatedNode],
        gateways: Sequence[GatewayMachine],
        server: ServerMachine,
        problem: Callable[[str], None],
    ) -> None:
        self._outline = outline
        self._nodes, self._gateways, self._server = nodes, gateways, server
        self._database: DatabaseMachine = server.database
        self._problem = problem
        self.has_lost = False

    def truth(self) -> dict[Who, Content]:
        """What the nodes saw acknowledged."""
        return {
            (str(node.number), node.epoch, counter): content
            for node in self._nodes
            for counter, content in node.acknowledged.items()
        }

    def _copies(self) -> list[set[Who]]:
        """What each machine has: the nodes together, each gateway, the database, and the server."""
        of_nodes = {(str(node.number), node.epoch, counter) for node in self._nodes if not node.is_dead
                    for counter in node.held()}  # fmt: skip
        of_gateways = [one.identities("events") | one.identities("kept") for one in self._gateways]
        of_database = {row[:3] for row in self._database.rows()}
        return [of_nodes, *of_gateways, of_database, self._server.letters()]

    def survey(self) -> None:
        """On the way: while no machine was lost, two machines have everything that was acknowledged."""
        self._check_void()
        if not self.has_lost:
            self._check_copies()

    def _check_copies(self) -> None:
        *machines, database, letters = self._copies()
        has_file = set().union(*machines[1:])
        for who in self.truth():
            count = sum(who in one for one in (*machines, database, letters))
            if count < 2 and not self._outline.forgets:
                self._problem(f"single: {who} is at {count} machine")
        if not self._outline.loses_files and self._outline.keep_bytes is None:
            for who in sorted((database | letters) - has_file):
                self._problem(f"kept: no gateway has {who} any more")

    def judge(self, asks: int, answers: Mapping[str, int]) -> None:
        """At the end, when everything has been well for hours.

        Args:
            asks: Acknowledgements that asked for a reading.
            answers: Acknowledgements, by gateway.
        """
        rows = list(self._database.rows())
        stored = {row[:3]: row[3:] for row in rows}
        if len(stored) != len(rows):
            self._problem(f"duplicates: {len(rows) - len(stored)}")
        self._check_rows(stored)
        self._check_drained()
        self._check_events(stored.keys() | self._server.letters())
        self._check_void()
        self._check_unknown()
        self._check_ledger()
        if not self._outline.forgets:
            self._check_copies()
        if self._outline.is_healthy and (asks or self._server.holes_asked):
            self._problem(f"healthy, and {self._server.holes_asked} holes and {asks} nodes were asked")
        if self._outline.is_healthy and answers.get("witness"):
            self._problem(f"healthy, and the witness has answered {answers['witness']} times")

    def _check_rows(self, stored: Mapping[Who, tuple[int, ...]]) -> None:
        """Every reading that was acknowledged is there, as it was sent, and nothing else."""
        missing = self.truth().keys() - stored.keys() - self._server.letters()
        self._check_missing(missing)
        sent = {(str(node.number), node.epoch): node for node in self._nodes}
        for who, content in stored.items():
            if sent[who[:2]].contents.get(who[2]) != content:
                self._problem(f"content: {who} was never sent as {content}")
        for node in self._nodes:
            for counter in node.wrong_contents:
                self._problem(f"content: node {node.number} has used number {counter} twice")

    def _check_drained(self) -> None:
        """Nothing waits anywhere."""
        for node in self._nodes:
            if not node.is_dead and node.waiting():
                self._problem(f"node {node.number} is not done: {node.node.link.ring.waiting} readings wait")
        for gateway in self._gateways:
            if left := gateway.identities("events"):
                self._problem(f"{gateway.name} still has {len(left)} readings in its outbox")
        if letters := [who for who in self._server.letters() if not self._database.is_refused(who[2])]:
            self._problem(f"{len(letters)} dead letters are left")

    def _check_missing(self, missing: Collection[Who]) -> None:
        """Missing is only what no copy is left of, and it is accounted for.

        A gateway that has its disk remembers the numbers of what it has kept: then it is called lost.
        """
        is_allowed = self._outline.forgets and self._outline.has_loss
        states = _decided(self._database.gaps())
        copies = self._copies()
        dead = {(str(node.number), node.epoch) for node in self._nodes if node.is_dead}  # asked for ever
        known = ("lost", "unknown") if self._outline.loses_files else ("lost",)
        for who in sorted(missing):
            if not is_allowed or any(who in one for one in copies):
                self._problem(f"missing: {who}")
            elif (state := states.get(who)) not in known and who[:2] not in dead:
                self._problem(f"missing: {who} is called {state}")

    def check_given_up(self, before: Sequence[GapRow]) -> None:
        """After a look: none of the numbers that it has given up is of a reading that its node could be asked for.

        Only the first gateway asks nodes. While it does not answer, others decide without it, and it is asked later.

        Args:
            before: The gaps as they were before the look.
        """
        if not self._server.is_answered_by(self._gateways[0].name):
            return
        old, new = _decided(before), _decided(self._database.gaps())
        held = {(str(one.number), one.epoch): one.held() for one in self._nodes if not one.is_dead}
        for who in sorted(new.keys() - old.keys()):
            if who[2] in held.get(who[:2], ()):
                self._problem(f"given up: {who} is called {new[who]}, and the node has it")

    def _check_events(self, stored: Collection[Who]) -> None:
        """An event is in the flash before it is sent, so nothing but a torn write can lose it."""
        if self._outline.forgets or any(fault.kind == "node_torn_write" for fault in self._outline.faults):
            return
        for node in self._nodes:
            if node.is_dead:
                continue
            lost = [counter for counter in node.events if (str(node.number), node.epoch, counter) not in stored]
            if lost:
                self._problem(f"events {lost} of node {node.number} never arrived")

    def _check_void(self) -> None:
        """Nothing is called void that a node saw acknowledged."""
        truth = self.truth()
        for node, epoch, first, last, state in self._database.gaps():
            if state == "void":
                for who in truth:
                    if who[:2] == (node, epoch) and first <= who[2] <= last:
                        self._problem(f"false void: {who}")

    def _check_unknown(self) -> None:
        """Without a loss and a torn write, a node that forgets nothing proves which numbers it has never used."""
        is_torn = any(fault.kind == "node_torn_write" for fault in self._outline.faults)
        if self.has_lost or self._outline.forgets or is_torn:
            return
        for node, epoch, first, last, state in self._database.gaps():
            if state == "unknown":
                self._problem(f"unknown: {first} to {last} of node {node}, epoch {epoch}, which it has never used")

    def _check_ledger(self) -> None:
        dead = {str(node.number) for node in self._nodes if node.is_dead}  # they answer nobody
        with open_facts(self._server.pool(), self._server.identities()) as facts:
            for key in facts.keys:
                account = ledger.account(facts.facts(key))
                if not account.is_balanced:
                    self._problem(f"ledger: {account} is not balanced")
                unsettled = account.open or account.waiting or (account.lost and not self._outline.forgets)
                if self._outline.is_audited and unsettled and key[0] not in dead:
                    self._problem(f"ledger: {account} is not settled")


def _decided(gaps: Iterable[GapRow]) -> dict[Who, str]:
    """What each number is called whose gap is decided."""
    return {
        (node, epoch, number): state
        for node, epoch, first, last, state in gaps
        if state != "open"
        for number in range(first, last + 1)
    }
