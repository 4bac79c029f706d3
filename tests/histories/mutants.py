"""Mutants: mistakes put into a copy of our own code on purpose, each of which some history must find.

`make mutants` copies the package, plants one mistake, and runs histories until one fails. The sources themselves are
never touched. MUTANTS=name,name plants only these, LIMIT=10000 says after how many histories a mutant has survived.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from histories import outlines
from histories.outlines import Outline

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """A mistake.

    Attributes:
        file: Where it is planted, below the package.
        edits: What is replaced by what; each text to be replaced is there exactly once.
        meaning: What goes wrong then.
        needs: What a history must have to find it, as far as that is known (`words`): others are passed over.
    """

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]
    meaning: str
    needs: tuple[str, ...] = ()

    def plant(self, package: Path) -> None:
        """Plant it in a copy of the package.

        Raises:
            LookupError: The code has changed, and the mutant must be changed with it.
        """
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        for old, new in self.edits:
            if text.count(old) != 1:
                raise LookupError(f"mutant {self.name}: {self.file} has {text.count(old)} times {old!r}")
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


def _mutant(name: str, file: str, old: str, new: str, meaning: str, *needs: str) -> Mutant:
    return Mutant(name, file, ((old, new),), meaning, needs)


def words(outline: Outline) -> set[str]:
    """What an outline has: kinds of faults and failpoints, and how it is set up."""
    found = {word for fault in outline.faults for word in (fault.kind, fault.point)}
    found.add(("one gateway", "two gateways")[outline.gateways - 1])
    if outline.keep_bytes is not None:
        found.add("little kept")
    return found | ({"audited"} if outline.is_audited else set()) | ({"healthy"} if outline.is_healthy else set())


MUTANTS = (
    # the node
    _mutant(
        "keep_nothing", "core/link.py",
        "self.ring.keep(pending.counter, self._heartbeat())  # first", "pass  # first",
        "an acknowledged reading is sent again and again",
    ),
    _mutant(
        "event_not_in_flash", "core/link.py",
        "if kind == EVENT:\n            self.ring.put(self._stored(pending))", "if kind == EVENT:\n            pass",
        "an event is sent that is not in the flash",
    ),
    _mutant(
        "floor_unsaid", "core/link.py", "if counter <= self._counters.floor:", "if counter < 0:",
        "the node calls void what it may have forgotten",
        "gateways_lost",
    ),
    _mutant(
        "asked_one_too_far", "core/link.py",
        "target = pending.counter - ack.again", "target = pending.counter - ack.again - 1",
        "the node answers about another number than was asked for",
        "audited", "node_power",
    ),
    _mutant(
        "answer_never_ends", "core/link.py",
        "if abs(pending.answers) == self.target:\n            self.target = 0",
        "if abs(pending.answers) == self.target:\n            pass",
        "the node answers the same question for ever",
        "audited", "node_power",
    ),
    _mutant(
        "recall_below", "core/ring.py", "for value in self._slots if value <= target]",
        "for value in self._slots if value < target]", "the node says that it lacks what it was asked for",
        "gateway_lost", "one gateway",
    ),
    _mutant(
        "waiting_forgotten_in_power_cut", "core/ring.py",
        "self._slots[at], self._kept[at] = fields[1], mark == _KEPT_MARK\n                "
        "self.waiting += mark == _WAITING_MARK",
        "self._slots[at], self._kept[at] = fields[1], 1",
        "after a power cut nothing waits any more",
        "node_power", "radio_deaf",
    ),
    _mutant(
        "forgets_without_a_trace", "core/store.py", "self.floor = max(self.floor, counter)", "pass",
        "the node does not know that it has forgotten something",
        "gateways_lost",
    ),
    _mutant(
        "numbers_again", "core/store.py",
        "record = struct.pack(_NUMBERS, _NUMBERS_MARK, self._node, self._epoch, frame, counter)",
        "record = struct.pack(_NUMBERS, _NUMBERS_MARK, self._node, self._epoch, self._frame, self._counter)",
        "numbers are used again after a power cut",
        "node_power",
    ),
    # the gateway
    Mutant(
        "answers_before_commit", "gateway/drivers/outbox_file.py",
        (
            (
                '            failpoints.reach("before_outbox_commit")\n',
                "            for request in batch:\n                request.complete()\n"
                '            failpoints.reach("before_outbox_commit")\n',
            ),
            ("            request.complete()\n\n    def _commit_kept", "            pass\n\n    def _commit_kept"),
        ),
        "the node is answered before its reading is on the disk",
        ("before_outbox_commit",),
    ),
    Mutant(
        "kept_after_removal", "gateway/drivers/outbox_file.py",
        (
            ("            self._commit_kept(connection)\n", ""),
            (
                '            failpoints.reach("after_outbox_commit")\n',
                '            failpoints.reach("after_outbox_commit")\n            self._commit_kept(connection)\n',
            ),
        ),
        "a reading leaves the outbox before it is kept",
        ("after_outbox_commit",),
    ),
    _mutant(
        "outbox_not_synced", "gateway/drivers/outbox_recovery.py",
        "        sqlite_pages.log_ahead(connection, LOG_LIMIT_BYTES)\n",
        "        sqlite_pages.log_ahead(connection, LOG_LIMIT_BYTES)\n"
        '        connection.execute("PRAGMA synchronous = NORMAL")\n',
        "what is committed to the outbox is not on the disk",
        "gateway_killed",
    ),
    _mutant(
        "kept_not_synced", "gateway/drivers/kept_rows.py",
        "    sqlite_pages.log_ahead(connection, LOG_LIMIT_BYTES)\n",
        "    sqlite_pages.log_ahead(connection, LOG_LIMIT_BYTES)\n"
        '    connection.execute("PRAGMA synchronous = OFF")\n',
        "what is kept is not on the disk",
        "gateway_killed",
    ),
    _mutant(
        "nothing_kept", "gateway/drivers/kept_file.py", "            self._moving += rows\n", "            pass\n",
        "nothing is kept",
    ),
    _mutant(
        "gives_nothing_back", "gateway/drivers/outbox_transaction.py",
        "            self._add(*event[1:7], now_ms)\n", "", "kept readings are counted and not given back",
        "database_replaced",
    ),
    _mutant(
        "kept_taken_for_absent", "gateway/drivers/outbox_transaction.py",
        "kept = list(itertools.islice(self._kept.counters(node, epoch, first, last), FIND_LIMIT + 1))", "kept = []",
        "a gateway denies what it keeps",
        "database_replaced",
    ),
    _mutant(
        "fresh_lost", "gateway/outbox.py", "        self._fresh[item.identity] = item\n", "",
        "a reading is not published before the next start",
    ),
    _mutant(
        "published_and_forgotten", "gateway/outbox.py",
        "        self._launch(item, now_ms, is_fresh)\n        return item\n\n    def _source",
        "        return item\n\n    def _source", "a published reading is not waited for",
        "broker_loses",
    ),
    _mutant(
        "given_back_unnoticed", "gateway/outbox.py",
        "behind all others; they are backlog.\"\"\"\n        self._complete = False",
        "behind all others; they are backlog.\"\"\"", "what was given back is not published",
        "database_replaced",
    ),
    _mutant(
        "air_ask_unheard", "gateway/repair.py", "hole.first, hole.last, hole.is_for_node)",
        "hole.first, hole.last, False)", "no node is ever asked",
        "audited", "node_power",
    ),
    _mutant(
        "give_back_forgotten", "gateway/repair.py", "            self._keep(piece._replace(first=kept[0][0]",
        "            (piece._replace(first=kept[0][0]", "what is kept is found and not given back",
        "database_replaced",
    ),
    _mutant(
        "always_void", "gateway/air_asks.py", '"void" if uplink.answers > 0 else "unknown"', '"void"',
        "what a node cannot prove counts as proved",
        "gateways_lost",
    ),
    _mutant(
        "void_too_far", "gateway/air_asks.py",
        "first = uplink.counter + 1 if uplink.counter <= target else 0", "first = 0",
        "an answer counts for all numbers below",
        "gateway_lost", "one gateway",
    ),
    _mutant(
        "silent_at_once", "gateway/air_asks.py", "SILENT_AFTER = 3 ", "SILENT_AFTER = 0 ",
        "a node that was not asked yet counts as silent",
        "gateway_lost", "one gateway",
    ),
    _mutant(
        "asks_one_short", "gateway/air_asks.py", "return min(uplink.counter - wanted, FARTHEST)",
        "return min(uplink.counter - wanted, FARTHEST) - 1", "the question names another number",
        "audited", "node_power",
    ),
    _mutant(
        "witness_asks", "gateway/gateway.py", "if self._is_witness:\n            return False",
        "if self._is_witness:\n            pass", "the witness takes questions that it never asks",
        "audited", "node_power", "two gateways",
    ),
    # the server
    _mutant(
        "away_counts_as_stored", "server/insertion.py", "        return Insertion(deliveries, error)\n",
        '        return Insertion([Delivery("stored")] * len(rows))\n', "what is not stored is acknowledged",
        "database_down",
    ),
    _mutant(
        "letters_not_written", "server/insertion.py",
        "            dead_letters.add([rows[index] for index in indexes], delivery.status, delivery.detail)\n",
        "            pass\n", "a reading is acknowledged as a dead letter, and is none",
        "database_down",
    ),
    _mutant(
        "letters_not_synced", "server/dead_letters/file.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF",
        "dead letters are not on the disk",
        "database_down", "server_crash",
    ),
    Mutant(
        "letters_removed_first", "server/dead_letters/replay.py",
        (
            (
                "    inserted = insert(database, readings)\n",
                "    store.remove([letter.id for letter in letters])\n    inserted = insert(database, readings)\n",
            ),
        ),
        "a letter is removed before its reading is stored",
        ("database_down", "before_database_commit",),
    ),
    _mutant(
        "letters_never_replayed", "server/ingest_worker.py",
        "        if not self._breaker.tries():\n            return False\n", "        return False\n",
        "dead letters wait for ever",
        "database_down",
    ),
    _mutant(
        "breaker_stays_open", "server/circuit_breaker.py", "(OPEN, ANSWERED): HALF_OPEN", "(OPEN, ANSWERED): OPEN",
        "after an outage everything becomes a dead letter",
        "database_down",
    ),
    _mutant(
        "tables_not_made_again", "server/database_watch.py",
        "        self._migrated = False\n        self.absences", "        self.absences",
        "a replaced database gets no tables",
        "database_replaced",
    ),
    _mutant(
        "identity_not_unique", "server/db.py", '" ON CONFLICT (node, epoch, counter) DO NOTHING"', '""',
        "a repetition is an error",
        "broker_copies",
    ),
    _mutant(
        "all_acknowledged", "server/ingest.py", "item = Committed(identity, DONE.get(answer.status, DEAD_LETTERED), ",
        "identity = Identity(identity.node, identity.epoch, identity.counter + 1)\n        "
        "item = Committed(identity, DONE.get(answer.status, DEAD_LETTERED), ",
        "another reading is acknowledged than was stored",
    ),
    # the audit
    _mutant(
        "reports_ignored", "server/audit.py", "unaccounted(key, facts, reported.get(key, ()), answering, by_air)",
        "unaccounted(key, facts, (), answering, by_air)", "what gateways hold is not missed behind the last row",
        "node_dies",
    ),
    Mutant(
        "vanished_unnoticed", "server/audit_facts.py",
        (
            ("            if any(page[id_] != before[id_] for id_ in common):\n                return None\n", ""),
            ("return newest if seen == len(before) else None", "return newest"),
        ),
        "the audit does not notice that rows vanish",
        ("commits_lost",),
    ),
    _mutant(
        "unknown_is_void", "server/verdict.py", '("unknown", ranges.difference(unknown, old), "")',
        '("void", ranges.difference(unknown, old), " ")', "what nobody knows is called void",
        "gateways_lost",
    ),
    _mutant(
        "never_for_the_node", "server/verdict.py", "return Verdict(_gaps(key, states), for_node)",
        "return Verdict(_gaps(key, states), {})", "no gateway is told to ask the node",
        "audited", "node_power",
    ),
    _mutant(
        "asks_without_a_second_look", "server/audit.py", "QUICK_S = 5.0 ", "QUICK_S = 1e9 ",
        "the second look after a start never comes",
        "audited", "node_power",
    ),
    _mutant(
        "unanswered_forgotten", "server/asked_gateway.py", "ANSWER_S = 60.0", "ANSWER_S = 1e9",
        "a lost question is never asked again",
        "audited", "node_power", "broker_loses",
    ),
    # planted by somebody who had not written the histories
    _mutant(
        "backfill_counts_as_live", "gateway/air_asks.py", "if uplink.flags & BACKFILL:", "if False:",
        "what is newer than a reading that comes late counts as not used yet",
        "audited", "node_power", "one gateway",
    ),
    _mutant(
        "stale_finding", "gateway/repair_work.py", "            self._repair.arrived(whose, uplink.counter)\n", "",
        "what was found of a number is still reported when its reading has come", "audited",
    ),
    _mutant(
        "absent_for_good", "gateway/repair.py",
        'known = [one for one in found if one.kind not in ("absent", "forgotten")]', "known = list(found)",
        "who has said that it lacks a reading never asks the node for it", "gateway_lost",
    ),
    _mutant(
        "only_what_waits_is_reported", "gateway/drivers/outbox_transaction.py",
        "here = (NodeNumbers(*each, 0) for each in self._kept.numbers()) if self._kept.is_on else ()",
        "here: tuple[NodeNumbers, ...] = ()", "nobody learns how far a gateway's kept readings go", "commits_lost",
    ),
    _mutant(
        "witness_in_a_hurry", "gateway/receiver.py", "if not self._repetitions.is_repeated(uplink):", "if False:",
        "the witness answers beside the first gateway", "two gateways", "healthy",
    ),
    _mutant(
        "node_not_waited_for", "server/verdict.py",
        "    decided = ranges.difference(decided, ranges.difference(radio, _answered_by_node(answering)))\n", "",
        "a number is given up before its node was asked", "gateway_lost", "one gateway",
    ),
    _mutant(
        "begins_at_the_first_row", "server/unaccounted.py", "    first = facts.first(key[1])\n",
        "    first = facts.rows[0][0] if facts.rows else facts.first(key[1])\n",
        "what is missing below the first row is not missed", "database_replaced",
    ),
    _mutant(
        "one_look_is_enough", "server/unaccounted.py", "                if now_s >= due_s:", "                if True:",
        "what is on its way is asked for", "audited", "healthy",
    ),
    _mutant(
        "letters_unseen", "server/audit_facts.py", "        for who in letters:\n", "        for who in ():\n",
        "what is a dead letter is asked for", "audited", "database_refuses",
    ),
    _mutant(
        "gap_one_too_long", "server/gap.py", "gap=replace(one.gap, first=first, last=ranges[at][0] - 1))",
        "gap=replace(one.gap, first=first, last=ranges[at][0]))", "a gap is cut one number too late", "gateway_lost",
    ),
)  # fmt: skip


def hunt(limit: int, needs: set[str]) -> None:
    """Run histories until one fails; print its seed and what it found. In a process of the mutant's own.

    A history is the same whichever were run before it, so those that cannot find the mutant need not be run.
    """
    from histories import simulate

    with simulate.ready():
        for verdict in simulate.run_all(seed for seed in range(limit) if needs <= words(outlines.draw(seed))):
            if verdict.problems:
                print(json.dumps([verdict.outline.seed, verdict.problems[0]]))
                return
    print(json.dumps([None, ""]))


def try_mutant(mutant: Mutant, limit: int) -> tuple[int | None, str]:
    """Plant a mutant, and run histories until one fails; return its seed and what it found; None: it survived."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        package = Path(folder) / "aoii"
        shutil.copytree(ROOT / "src" / "aoii", package, ignore=shutil.ignore_patterns("__pycache__", "static"))
        mutant.plant(package)
        environ = dict(os.environ) | {"PYTHONPATH": f"{folder}:{ROOT / 'tests'}", "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-m", "histories.mutants", "hunt", str(limit), *mutant.needs]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            return None, f"its process ended with {done.returncode}: {done.stderr[-300:]}"  # no history has found it
        seed, problem = json.loads(done.stdout.splitlines()[-1])
        return seed, problem


def _chosen() -> Iterator[Mutant]:
    names = [name for name in os.environ.get("MUTANTS", "").split(",") if name]
    if unknown := set(names) - {mutant.name for mutant in MUTANTS}:
        sys.exit(f"MUTANTS: there is no {', '.join(sorted(unknown))}; use one of {', '.join(m.name for m in MUTANTS)}")
    return (mutant for mutant in MUTANTS if not names or mutant.name in names)


def main() -> int:
    limit = int(os.environ.get("LIMIT") or 10_000)
    workers = int(os.environ.get("WORKERS") or os.cpu_count() or 1)
    seeds: dict[int, Mutant] = {}
    survivors = []
    with ThreadPoolExecutor(workers) as pool:
        mutants = list(_chosen())
        tries = {pool.submit(try_mutant, mutant, limit): mutant for mutant in mutants}
        for one in as_completed(tries):
            mutant, (seed, problem) = tries[one], one.result()
            found = f"found in history {seed}: {problem[:100]}"
            if seed is None:
                found = f"NOT HUNTED: {problem}" if problem else "SURVIVED"
            print(f"{mutant.name:32} {found}", flush=True)
            if seed is None:
                survivors.append(mutant)
            else:
                seeds[seed] = mutant
    print(f"{len(mutants)} mutants, {len(survivors)} survived {limit} histories")
    for mutant in survivors:
        print(f"  {mutant.name}: {mutant.meaning}")
    return int(bool(survivors) | _fail_anyway(seeds))


def _fail_anyway(seeds: Mapping[int, Mutant]) -> bool:
    """Whether one of these histories fails without a mutant, so that it has found nothing."""
    from histories import simulate

    failures = 0
    with simulate.ready():
        for verdict in simulate.run_all(sorted(seeds)):
            if verdict.problems:
                failures += 1
                seed = verdict.outline.seed
                print(f"history {seed} found {seeds[seed].name}, but fails without it too: {verdict.problems[0]}")
    return failures > 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["hunt"]:
        hunt(int(sys.argv[2]), set(sys.argv[3:]))
    else:
        sys.exit(main())
