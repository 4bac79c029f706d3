"""`aoii restore`: what was saved is put back, and only where nothing is in the way."""

import json
import socket
import tarfile
from pathlib import Path

import pytest

from aoii.gateway.drivers import labels_file
from commands.saved_machine import LABELS, Machine, Run, acknowledge, outbox_of, saved, writing
from gateway.drivers.outbox_files import add, counters, opened
from server.samples import run_sql, sqlite_at


def test_the_restore_says_what_begins_empty(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    small.wipe()

    _, out, _ = run("restore", archive)

    assert "with the 3 readings that were not acknowledged" in out
    for word in ("sequence numbers", "estimates", "replay windows", "link state", "kept readings"):
        assert word in out.partition("begins empty")[2]


def test_the_names_of_the_nodes_are_back(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    small.wipe()
    run("restore", archive)

    assert labels_file.read(small.data / "nodes.json") == LABELS


def test_the_gateway_goes_on_with_a_restored_outbox(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    small.wipe()
    run("restore", archive)

    with opened(small.outbox, keep_bytes=1 << 20) as store:
        assert store.recoveries == []
        assert not store.is_older_copy
        assert counters(store) == [3, 4, 5]
        item = add(store, 6).result()

    assert item is not None
    assert item.seq == 4


def test_what_was_acknowledged_since_the_backup_does_not_come_back(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    with opened(small.outbox, keep_bytes=1 << 20) as store:
        acknowledge(store, 3)
        add(store, 6).result()

    code, out, err = run("--env-file", small.env, "restore", archive, "--only", "outbox", "--force")

    assert code == 0, err
    assert "1 were acknowledged since" in out
    _, events, _ = outbox_of(small.outbox)
    assert sorted(counter for _, counter in events) == [4, 5, 6]  # 6 waits still: it came after the backup


def test_every_flipped_byte_of_content_is_found_and_nothing_is_put_back(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    sound = archive.read_bytes()
    with tarfile.open(archive) as tar:
        places = [(entry.name, entry.offset_data + entry.size // 2) for entry in tar.getmembers()]
        places += [(f"header of {entry.name}", entry.offset + 3) for entry in tar.getmembers()]
    small.wipe()

    for name, place in places:
        archive.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        code, _, err = run("restore", archive)
        assert (code, small.env.exists()) == (2, False), name
        assert str(archive) in err

    for length in (0, 100, len(sound) // 2, sound.rindex(b"SQLite format 3") + 100):
        archive.write_bytes(sound[:length])
        assert run("restore", archive)[0] == 2
    assert not small.data.exists()


def test_nothing_is_put_back_while_a_station_writes(machine: Machine, run: Run) -> None:
    archive = saved(machine, run)
    with writing(machine):
        code, _, err = run("--env-file", machine.env, "restore", archive, "--force")
        assert code == 2
        assert "stop the stations first" in err
        code, out, _ = run("--env-file", machine.env, "restore", archive, "--dry-run", "--force")
        assert code == 1
        assert "would be refused" in out


def test_what_exists_is_not_overwritten_unless_it_is_forced(machine: Machine, run: Run) -> None:
    rows = machine.rows()
    archive = saved(machine, run)
    run_sql(machine.place, "DELETE FROM readings WHERE counter = 3")
    machine.keys.write_text("")

    code, _, err = run("--env-file", machine.env, "restore", archive)
    assert code == 2
    assert f"{machine.keys} exists and differs" in err
    assert str(machine.env) not in err  # it is there, byte for byte
    assert machine.keys.read_text() == ""

    assert run("--env-file", machine.env, "restore", archive, "--force")[0] == 0
    assert machine.rows() == rows
    assert machine.keys.read_text()
    (aside,) = machine.keys.parent.glob("node_keys.before-restore-*")
    assert aside.read_text() == ""


def test_a_trial_puts_files_below_a_folder_and_changes_nothing_else(machine: Machine, run: Run, tmp_path: Path) -> None:
    archive = saved(machine, run)
    before = {path: path.stat().st_mtime_ns for path in machine.data.iterdir()}

    code, _, _ = run("--env-file", machine.env, "restore", archive, "--to", tmp_path / "trial")

    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in machine.data.iterdir()} == before
    below = tmp_path / "trial" / machine.keys.relative_to("/")
    assert below.read_bytes() == machine.keys.read_bytes()
    if machine.place.host is None:
        copy = sqlite_at(tmp_path / "trial" / machine.place.sqlite_path.relative_to("/"))
        assert run_sql(copy, "SELECT * FROM readings") == run_sql(machine.place, "SELECT * FROM readings")


def test_a_restore_that_ended_before_the_keys_were_back_can_be_run_again(small: Machine, run: Run) -> None:
    secret = small.env.with_name("web_token")
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o600)
    with small.env.open("a") as file:
        file.write(f"WEB_TOKEN_FILE={secret}\n")
    archive = saved(small, run)
    small.wipe()
    secret.unlink()
    assert run("restore", archive, "--only", "settings")[0] == 0

    code, out, err = run("restore", archive)

    assert code == 0, err
    assert f"{small.env} is there already" in out
    assert secret.read_text() == "0123456789abcdef\n"


def test_nothing_is_put_back_while_a_status_port_answers(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    port = int(small.env.read_text().partition("SERVER_STATUS_PORT=")[2].split()[0])

    with socket.create_server(("127.0.0.1", port)):
        code, _, err = run("--env-file", small.env, "restore", archive)

    assert code == 2
    assert f"the server runs (port {port} answers)" in err


def test_another_format_is_refused_in_words(small: Machine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.commands.backup_archive.FORMAT", 2)
    archive = saved(small, run)
    monkeypatch.undo()

    code, _, err = run("restore", archive)

    assert code == 2
    assert "format 2" in err
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert json.load(manifest)["format"] == 2
