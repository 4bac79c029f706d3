"""Which archives `aoii backup --keep` removes: never the last ones of a part, and nothing that is not its own."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aoii.commands import backup_retention
from commands.saved_machine import Machine, Run, saved


def test_archives_without_a_part_do_not_make_those_with_it_superfluous(small: Machine, run: Run) -> None:
    whole = [made(small, run) for _ in range(2)]
    partly = [made(small, run, "--without", "database", "--keep", 2) for _ in range(3)]

    assert small.archives() == [*whole, *partly[1:]]
    newest = made(small, run, "--keep", 1)
    assert small.archives() == [newest]


def test_an_archive_that_is_damaged_counts_for_nothing_and_stays(small: Machine, run: Run) -> None:
    good, damaged = made(small, run), made(small, run)
    damaged.write_bytes(damaged.read_bytes()[:700])

    _, out, _ = run("--env-file", small.env, "backup", "--keep", 2)

    assert good in small.archives()
    assert f"stays, and is not counted: {damaged}" in out


def test_archives_of_a_time_to_come_neither_go_nor_count(small: Machine, run: Run) -> None:
    """The clock was ahead once, and was set back since."""
    old = [made(small, run) for _ in range(2)]
    ahead = [shutil.copy(old[0], old[0].with_name(name_after(timedelta(days=days)))) for days in (1, 2, 3)]

    _, out, _ = run("--env-file", small.env, "backup", "--keep", 2)

    assert old[1] in small.archives()
    assert old[0] not in small.archives()
    assert all(f"{path}, which is named later than now" in out for path in ahead)


def test_what_others_have_put_there_stays(small: Machine, run: Run) -> None:
    archive = made(small, run)
    folder = archive.with_name(name_after(timedelta(days=-3)))
    folder.mkdir()
    others = [archive.with_name(name) for name in ("aoii.sql.gz", f"{archive.name}.bak", "aoii-x-y.tar", "notes")]
    for other in others:
        shutil.copy(archive, other)
    link = archive.with_name(name_after(timedelta(days=-4)))
    link.symlink_to(archive)

    code, out, _ = run("--env-file", small.env, "backup", "--keep", 1)

    assert code == 0
    assert folder.is_dir()
    assert f"{folder} (" in out
    assert all(other.exists() for other in others)
    assert not archive.exists()


def name_after(passed: timedelta) -> str:
    return backup_retention.name_of(datetime.now(UTC) + passed)


def made(machine: Machine, run: Run, *words: object) -> Path:
    before = set(machine.archives())
    saved(machine, run, *words)
    (new,) = set(machine.archives()) - before
    return new
