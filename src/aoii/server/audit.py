"""The server's audit: finds what the table lacks, asks the gateways for it, and decides what becomes of it.

A machine: it is told of reports, of looks at the table, of the database's absence and of requested audits, and says
which look to do next, which question to publish, and what to record. Everything is decided at looks; a report only
brings the next one forward. It keeps no clock and does nothing itself. Pure.

One round: look, look again, ask every gateway for what is missing in both, ask the node through one of them for what
all gateways lack, and record what nobody can fill. Each step may take days: rows that come meanwhile end it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from aoii.broker.repair_messages import KINDS, Ask, Report
from aoii.server import ranges
from aoii.server.asked_gateway import AskedGateway
from aoii.server.audit_account import AuditAccount
from aoii.server.gap import NodeEpoch
from aoii.server.gap_changes import Changes, changes_after
from aoii.server.look import Look
from aoii.server.ranges import Ranges
from aoii.server.unaccounted import TwoLooks, node_not_asked, reviewed, unaccounted
from aoii.server.verdict import Answers, Verdict, judge

LookKind = Literal["incremental", "full"]
"""`incremental`: only what is new since the look before; `full`: every row."""

QUICK_S = 5.0  # between two looks after the start, when the database came back, and in a requested audit
LOOK_S = 600.0  # else: a reading on its way has arrived by then
FULL_S = 86_400.0
SOON_S = 2.0  # between two looks while readings come back; doubled each time that nothing has changed
COMING_S = 60.0  # the longest pause while readings are to come back
GATEWAYS_LIMIT = 1_000  # that are known: a peer must not fill our memory
PATIENCE_S = 120.0  # a requested audit ends when nothing has come back for so long, whatever is still promised


@dataclass(frozen=True)
class Question:
    """A question to publish."""

    gateway: str
    ask: Ask


@dataclass(frozen=True)
class KnownGateway:
    """A gateway as an earlier process left it in the database.

    Attributes:
        file: The name of its outbox file.
        seq: The highest sequence number that this file has reported.
        numbers: Lowest and highest number that it has ever reported, by node and epoch.
    """

    gateway: str
    file: str
    seq: int
    numbers: Mapping[NodeEpoch, tuple[int, int]]


class Audit:
    """The machine. All times are seconds of one monotonic clock.

    Args:
        first_number: Questions are numbered from here on. It must be higher than that of any earlier process: the
            time in ms will do.
        now_s: Now. The first look is due at once.
    """

    def __init__(self, first_number: int, now_s: float) -> None:
        self._first_number = first_number
        self._gateways: dict[str, AskedGateway] = {}
        self._two_looks = TwoLooks()
        self._account: AuditAccount | None = None
        self._result: Mapping[str, int] | None = None
        self._is_away = self._is_looking = False
        self._is_full_due = self._is_hurried = True
        self._quick_until_s = now_s  # until then, what a look lacks is asked for QUICK_S later
        self._next_look_s = now_s
        self._next_full_s = now_s + FULL_S
        self._looked_s = now_s - LOOK_S
        self._pause_s = SOON_S

    @property
    def gateways(self) -> Mapping[str, AskedGateway]:
        """Every gateway that is known, by name."""
        return self._gateways

    @property
    def missing(self) -> Mapping[NodeEpoch, Ranges]:
        """The numbers that two looks lack and nothing accounts for."""
        return self._two_looks.missing

    def know(self, gateways: Iterable[KnownGateway], now_s: float) -> None:
        """Take what the database remembers of gateways, before the first look; they are asked to report.

        What this process has heard itself stays.
        """
        for one in gateways:
            if (gateway := self._gateway(one.gateway, now_s)) is not None:
                gateway.know(one.file, one.seq, one.numbers)

    def meet(self, gateways: Iterable[str], now_s: float) -> None:
        """Take the names of gateways that send readings or estimates; those that are new are asked to report."""
        for name in gateways:
            self._gateway(name, now_s)

    def take_report(self, gateway: str, report: Report, now_s: float) -> Report | None:
        """Take one message of a gateway's report; return what of it to record in the database, None for nothing.

        Nothing is recorded of a gateway whose file may be an older copy of itself, until it knows that.
        """
        asked = self._gateway(gateway, now_s)
        if asked is None:
            return None
        before = asked.is_answering(now_s), asked.round_trip_s
        begun_s = float("-inf") if self._account is None else self._account.begun_s
        was_awaited = not asked.has_answered_since(begun_s)
        to_record = asked.learn(report, now_s)
        has_findings = any(one.findings for one in report.holdings)
        if was_awaited and asked.has_answered_since(begun_s):
            self._is_hurried, self._next_look_s = True, now_s  # the tables may lack what it has
        is_new = before != (asked.is_answering(now_s), asked.round_trip_s)
        if (self._two_looks.missing or now_s < self._quick_until_s) and (has_findings or is_new):
            self._pause_s = SOON_S
            self._next_look_s = min(self._next_look_s, max(now_s, self._looked_s + SOON_S))
        return to_record

    def database_away(self) -> None:
        """The database does not answer: no look is due until `database_back`."""
        self._is_away = True

    def database_back(self, now_s: float) -> None:
        """The database answers again; it may have been restored meanwhile. A full look is due at once."""
        self._is_away = False
        self._two_looks.restart()
        self._is_full_due = True
        self._hurry(now_s)

    def request(self, is_full: bool, now_s: float) -> None:
        """Begin a requested audit: two looks, questions, and a result; one at a time.

        Args:
            is_full: Whether its first look shall read every row.
            now_s: Now.
        """
        self._account, self._result = AuditAccount(now_s), None
        self._is_full_due |= is_full
        self._hurry(now_s)

    def look_due(self, now_s: float) -> LookKind | None:
        """The look that is due now; None for none. End it by `take_look` or `fail_look`."""
        if self._is_away or self._is_looking:
            return None
        if now_s >= self._next_full_s:
            self._is_full_due = True
        elif now_s < self._next_look_s:
            return None
        self._is_looking = True
        return "full" if self._is_full_due else "incremental"

    def take_look(self, look: Look, now_s: float) -> Changes:
        """Take what a look has found; return what to write. If the writing fails, the next look says it again."""
        self._is_looking = False
        if look.is_full:
            if not self._is_full_due:  # rows have vanished
                self._hurry(now_s)
            self._is_full_due = False
            self._next_full_s = now_s + FULL_S
        if self._is_hurried:
            self._is_hurried = False
            self._quick_until_s = now_s + QUICK_S
        self.meet(look.gateways, now_s)
        before = self._two_looks.missing
        wait_s = QUICK_S if now_s <= self._quick_until_s else LOOK_S
        self._two_looks.take(*self._lacking(look, now_s), wait_s, now_s)
        verdicts = {
            key: judge(key, numbers, look.facts_of(key), self._answers(key, look, now_s))
            for key, numbers in self.missing.items()
            if look.facts_of(key).rows or self._is_vouched_for(key, look)
        }
        self._share_out(verdicts, look, now_s)
        changes = changes_after(verdicts, look)
        self._schedule(changes.is_cut or before != self.missing, now_s)
        self._looked_s = now_s
        if self._account is not None:
            self._account.take(look, self.missing, verdicts, now_s)
            if not changes.is_cut and not self._is_unfinished(now_s):
                self._result = {**self._account.counts, **self._answered_since(self._account.begun_s, look, now_s)}
                self._account = None
        return changes

    def fail_look(self, now_s: float) -> None:
        """The look that was due could not be done; it is due again later."""
        self._is_looking = False
        self._next_look_s = now_s + QUICK_S

    def next_question(self, now_s: float) -> Question | None:
        """The question to publish now; call again until there is none. Never two to a gateway at a time."""
        for name, gateway in self._gateways.items():
            if (ask := gateway.next_question(now_s)) is not None:
                return Question(name, ask)
        return None

    def fail_question(self, gateway: str) -> None:
        """The newest question to a gateway could not be published; it comes again."""
        self._gateways[gateway].fail_question()

    def deadline_s(self) -> float:
        """When the next look is due, if no report brings it forward; infinite while the database is away."""
        return float("inf") if self._is_away else min(self._next_look_s, self._next_full_s)

    @property
    def progress(self) -> Mapping[str, int] | None:
        """What the requested audit has found so far, in numbers of readings, by name; None if none is running."""
        return None if self._account is None else self._account.counts

    def take_result(self) -> Mapping[str, int] | None:
        """What the requested audit has found, once it has ended; None before, and after it was taken.

        Besides the numbers of readings: `answered` is how many gateways have answered in it, `unanswered` how many have
        not, although they are waited for or their rows are among the newest.
        """
        result, self._result = self._result, None
        return result

    def _answered_since(self, since_s: float, look: Look, now_s: float) -> dict[str, int]:
        """How many gateways have answered a question since then, and how many have not."""
        expected = [one for name, one in self._gateways.items() if one.is_live(now_s) or name in look.gateways]
        answered = sum(one.has_answered_since(since_s) for one in expected)
        return {"answered": answered, "unanswered": len(expected) - answered}

    def _hurry(self, now_s: float) -> None:
        """Look now, and again in QUICK_S; meanwhile the gateways say what they hold, in case the newest rows lack."""
        self._is_hurried = True
        self._next_look_s = now_s
        for gateway in self._gateways.values():
            gateway.want_report()

    def _gateway(self, name: str, now_s: float) -> AskedGateway | None:
        """The gateway of this name, a new one if there is room."""
        if name not in self._gateways and len(self._gateways) < GATEWAYS_LIMIT:
            self._gateways[name] = AskedGateway(self._first_number, now_s)
        return self._gateways.get(name)

    def _lacking(self, look: Look, now_s: float) -> tuple[dict[NodeEpoch, Ranges], dict[NodeEpoch, Ranges]]:
        """What nothing accounts for, and those of it that were missing before."""
        reported: dict[NodeEpoch, list[ranges.Range]] = {}
        for gateway in self._gateways.values():
            for key, pair in gateway.numbers.items():
                reported.setdefault(key, []).append(pair)
        answering = {
            name for name, one in self._gateways.items() if one.round_trip_s is not None and one.is_answering(now_s)
        }
        lacking: dict[NodeEpoch, Ranges] = {}
        known: dict[NodeEpoch, Ranges] = {}
        asking: dict[NodeEpoch, list[ranges.Range]] = {}
        for name in answering:
            for key in look.facts:
                asking.setdefault(key, []).extend(self._gateways[name].may_ask_node(key))
        for key in {*look.facts, *reported}:
            facts, by_air = look.facts_of(key), ranges.united(asking.get(key, ()))
            numbers, reopened = unaccounted(key, facts, reported.get(key, ()), answering, by_air)
            if numbers:
                lacking[key], known[key] = numbers, reopened
        return lacking, known

    def _is_vouched_for(self, key: NodeEpoch, look: Look) -> bool:
        """Whether a gateway that brings readings says that it had some of a node and epoch.

        Then a table that has none of them any more must not hide that they are lost.
        """
        return any(name in look.gateways and key in one.numbers for name, one in self._gateways.items())

    def _answers(self, key: NodeEpoch, look: Look, now_s: float) -> list[Answers]:
        facts = look.facts_of(key)
        return [
            Answers(
                name,
                one.is_answering(now_s),
                name in facts.writers or name in look.gateways,
                one.numbers.get(key, (0, -1))[1],
                one.asked_node(key),
                one.forgotten(key),
                {kind: one.found(key, kind) for kind in KINDS},
            )
            for name, one in self._gateways.items()
            if one.is_reporting
        ]

    def _share_out(self, verdicts: Mapping[NodeEpoch, Verdict], look: Look, now_s: float) -> None:
        """Let every gateway be asked for all that is missing; of a node without rows only for what it reports.

        When there is nothing else to ask, it is asked once for what was given up: it may have been away or unknown
        then, or the database may have got an old gap back together with its backup.
        """
        review = {key: found for key, facts in look.facts.items() if (found := reviewed(facts.gaps))}
        nodeless = {key: node_not_asked(look.facts[key].gaps) for key in review}
        for name, gateway in self._gateways.items():
            if not gateway.is_live(now_s):
                continue
            holes = {key: numbers for key, numbers in self.missing.items() if key in verdicts}
            for key in self.missing.keys() - verdicts.keys():
                if key in gateway.numbers:
                    holes[key] = ranges.intersection(self.missing[key], (gateway.numbers[key],))
            air = nodeless | {
                key: ranges.union(one.for_node[name], nodeless.get(key, ()))
                for key, one in verdicts.items()
                if name in one.for_node
            }
            gateway.set_wanted(holes, air, review, now_s)

    def _schedule(self, has_changed: bool, now_s: float) -> None:
        """Set when the next look is due."""
        self._next_look_s = min(now_s + LOOK_S, self._two_looks.due_s)
        if now_s < self._quick_until_s:
            self._next_look_s = min(self._next_look_s, self._quick_until_s)
        is_coming = any(
            one.is_answering(now_s) and ranges.intersection(one.owes(key), numbers)
            for one in self._gateways.values()
            for key, numbers in self.missing.items()
        )
        if has_changed or is_coming or self._account is not None:
            self._pause_s = SOON_S if has_changed else min(2 * self._pause_s, COMING_S)
            self._next_look_s = min(self._next_look_s, now_s + self._pause_s)

    def _is_unfinished(self, now_s: float) -> bool:
        """Whether the requested audit has to go on: it has had no second look, or something may still come back."""
        account = self._account
        if account is None or now_s < self._quick_until_s or self._two_looks.due_s <= self._quick_until_s + QUICK_S:
            return True
        if now_s - account.changed_s >= PATIENCE_S:
            return False
        gateways = [one for one in self._gateways.values() if one.is_answering(now_s)]
        return any(
            one.is_waited_for(now_s)
            or (one.is_patient(now_s) and not one.has_answered_since(account.begun_s))
            or any(ranges.intersection(one.owes(key), numbers) for key, numbers in self.missing.items())
            for one in gateways
        )
