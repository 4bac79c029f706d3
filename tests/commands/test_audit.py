"""`aoii audit`: asks a server by the database, waits for it, and says what it found."""

import threading
from collections.abc import Callable, Mapping

import pytest

from aoii.commands import audit_actions, main
from aoii.server.audits import Audits
from aoii.server.db import Database
from aoii.server.gaps import Gap, Gaps
from servers import until

Ran = tuple[int, str, str]
NOTHING = {"rows": 12, "missing": 0, "mended": 0, "void": 0, "unknown": 0, "lost": 0, "open": 0, "asked_nodes": 0,
           "answered": 2, "unanswered": 0}  # fmt: skip


@pytest.fixture
def audit(stored: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs `aoii audit`, while a server answers it with counts; its exit code and what it printed."""
    monkeypatch.setattr(audit_actions, "POLL_S", 0.01)

    def run(*arguments: str, counts: Mapping[str, int] | None = None) -> Ran:
        def serve() -> None:
            audits = Audits(stored.pool)
            until(audits.next_request)
            request = audits.next_request()
            assert request is not None
            assert request.is_full == ("--full" in arguments)
            audits.begin(request.id)
            audits.note(request.id, {"rows": 3})
            audits.finish(request.id, counts or {})

        server = threading.Thread(target=serve)
        if counts is not None:
            server.start()
        capsys.readouterr()
        code = main.main(["audit", *arguments])
        if counts is not None:
            server.join()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_whole_table_is_said_to_be_so(audit: Callable[..., Ran]) -> None:
    assert audit("--full", counts=NOTHING) == (0, "12 rows; nothing is missing\n", "")


@pytest.mark.parametrize(
    ("answered", "unanswered", "says"),
    [
        (0, 0, "no gateway is known, and only gateways can say"),
        (0, 1, "1 gateway has not answered, and only gateways can say"),
        (1, 2, "2 gateways have not answered, and only gateways can say"),
    ],
)
@pytest.mark.parametrize("mended", [0, 3])
def test_what_a_silent_gateway_may_hold_is_not_said_to_be_there(
    audit: Callable[..., Ran], answered: int, unanswered: int, says: str, mended: int
) -> None:
    """As after a restore from a dump while the gateway is off: the newest rows lack, and the table shows no hole."""
    found = NOTHING | {"missing": mended, "mended": mended, "answered": answered, "unanswered": unanswered}

    code, out, _ = audit("--full", counts=found)

    assert code == 1
    assert says in out.splitlines()[-1]
    assert "nothing is missing" not in out


def test_of_an_older_server_it_is_not_known_who_has_answered(audit: Callable[..., Ran]) -> None:
    counts = {name: count for name, count in NOTHING.items() if "answered" not in name}

    assert audit(counts=counts) == (0, "12 rows; nothing is missing\n", "")


def test_what_was_mended_and_what_is_left_is_said(audit: Callable[..., Ran]) -> None:
    found = NOTHING | {"missing": 1010, "mended": 1000, "void": 1, "open": 9, "asked_nodes": 8}

    code, out, _ = audit(counts=found)

    assert code == 1
    assert out.splitlines() == [
        "12 rows; 1,010 were missing",
        "  1,000 mended",
        "  9 open",
        "  1 void",
        "nodes are asked for 8 with their next packets: `aoii ledger` shows how it goes on",
    ]


@pytest.mark.parametrize(("name", "code"), [("mended", 0), ("void", 0), ("unknown", 1), ("lost", 1), ("open", 1)])
def test_the_exit_code_says_whether_something_is_left(audit: Callable[..., Ran], name: str, code: int) -> None:
    assert audit(counts=NOTHING | {"missing": 1, name: 1})[0] == code


def test_what_was_given_up_before_is_not_said_to_be_there(audit: Callable[..., Ran], stored: Database) -> None:
    Gaps(stored.pool).record([Gap("7", 1, 3, 4, "lost"), Gap("7", 1, 7, 7, "unknown"), Gap("7", 1, 9, 9, "void")])

    assert audit(counts=NOTHING)[:2] == (
        0, "12 rows; nothing more is missing\n3 were recorded before as unknown or lost: `aoii ledger` says whose\n",
    )  # fmt: skip
    assert audit(counts=NOTHING | {"missing": 3, "unknown": 1, "lost": 2})[1].splitlines() == [
        "12 rows; 3 were missing",
        "  1 unknown",
        "  2 lost",
    ]


def test_what_is_open_from_before_counts_too(audit: Callable[..., Ran], stored: Database) -> None:
    Gaps(stored.pool).record([Gap("7", 1, 3, 4, "lost")])
    assert audit(counts=NOTHING)[0] == 0
    Gaps(stored.pool).record([Gap("7", 1, 5, 5, "open")])
    assert audit(counts=NOTHING)[0] == 1


def test_what_nobody_can_fill_is_accepted_as_lost(audit: Callable[..., Ran], stored: Database) -> None:
    Gaps(stored.pool).record([Gap("7", 1, 1, 2, "open"), Gap("7", 1, 3, 3, "void"), Gap("8", 1, 4, 4, "unknown")])

    code, out, _ = audit("--accept", counts=NOTHING | {"missing": 3, "open": 2, "unknown": 1})

    assert code == 0
    assert out.endswith("3 accepted as lost\n")
    gaps = Gaps(stored.pool).all()
    assert [(gap.first, gap.last, gap.state) for gap in gaps] == [(1, 2, "lost"), (3, 3, "void"), (4, 4, "lost")]
    assert gaps[0].detail.startswith("accepted by an operator on 20")


def test_it_can_be_asked_for_without_waiting(audit: Callable[..., Ran], stored: Database) -> None:
    code, out, _ = audit("--no-wait")

    assert (code, out) == (0, "audit 1 is asked for; a running server begins at once\n")
    assert Audits(stored.pool).next_request() is not None


def test_without_a_server_it_says_what_to_do(audit: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_actions, "BEGIN_S", 0.05)

    code, _, err = audit()

    assert code == 2
    assert "no server has begun audit 1" in err
    assert "start `aoii server`" in err


def test_a_server_that_stops_in_the_midst_is_not_waited_for(
    audit: Callable[..., Ran], stored: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_actions, "STANDSTILL_S", 0.05)

    code, _, err = audit()

    assert code == 2
    assert "nothing has come of audit 1" in err


def test_accepting_needs_the_end(audit: Callable[..., Ran]) -> None:
    code, _, err = audit("--accept", "--no-wait")

    assert code == 2
    assert "leave out --no-wait" in err


def test_without_tables_it_says_what_to_do(
    data_dir: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AOII_DATA_DIR", str(data_dir))

    assert main.main(["audit"]) == 2
    assert "start `aoii server`" in capsys.readouterr().err
