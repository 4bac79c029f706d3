"""The live test of `aoii setup`: each cause, produced for real, has its name and its remedy in both languages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aoii.commands import doctor_checks
from aoii.commands.setup import checks
from aoii.commands.setup.cause_texts import KOREAN
from commands.saved_machine import Run
from commands.setup.place import PASSWORD, Answers, files, setup
from secure_broker import SecureBroker
from servers import MariaDB, free_port


def causes(run: Run, answers: Answers, expected: str) -> str:
    """What is said of a fault in English; in Korean it is the same cause, and nothing is written in either."""
    answers["language"] = "ko"
    code, korean, _ = setup(run, answers)
    assert code == 1
    state = KOREAN[expected][0].partition("{about}")[2] or KOREAN[expected][0].partition("{about}")[0]
    assert state in korean, korean
    assert "영어" not in korean
    answers["language"] = "en"
    code, english, _ = setup(run, answers)
    assert code == 1
    assert files() == {}
    (line,) = {line.partition(": ")[2] for line in english.splitlines() if line.startswith("FAIL")}
    return line


def test_a_wrong_password_at_the_broker(run: Run, answers: Answers) -> None:
    answers["broker.server.password"] = "wrong"

    assert "the broker refused the connection" in causes(run, answers, "broker_login")


def test_a_user_whom_the_acl_does_not_let_publish(run: Run, answers: Answers) -> None:
    answers["role"] = "gateway"
    answers["broker.gateway.user"] = "web"

    code, out, _ = setup(run, answers)

    assert code == 1
    for topic in ("aoii/readings", "aoii/holds/gateway"):
        assert f"the broker does not let user web publish on {topic}\n" in out
        assert f"-> in the broker's ACL, let web write {topic}, and restart the broker" in out
    answers["language"] = "ko"
    assert "aoii/readings, web\n      -> ACL에서" in setup(run, answers)[1]


def test_a_user_whom_the_acl_lets_read_nothing(run: Run, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped ACL lets a gateway with another name publish readings, and delivers no acknowledgement to it."""
    monkeypatch.setattr(checks, "WAIT_S", 1.0)
    answers["gateway.id"] = "attic"
    answers["broker.gateway.user"] = "gateway"
    answers["database"] = {"kind": "sqlite"}

    code, out, _ = setup(run, answers)

    assert code == 1
    assert "what the server publishes on aoii/ack/attic does not reach user gateway" in out


def test_nobody_at_the_broker_s_address(run: Run, answers: Answers) -> None:
    answers["broker.port"] = free_port()
    answers["role"] = "web"
    answers["database"] = {"kind": "sqlite"}

    assert "nobody listens there" in causes(run, answers, "broker_refused")


def test_servers_that_listen_for_their_own_machine_only(run: Run, answers: Answers) -> None:
    """Any address of 127.0.0.0/8 is this machine's; both servers listen on the first."""
    broker = answers.copy()
    broker["broker.host"] = "127.0.0.2"
    broker["role"] = "web"
    broker["database"] = {"kind": "sqlite"}
    answers["database.host"] = "127.0.0.2"
    answers["role"] = "web"

    assert "listens on 127.0.0.1 only" in causes(run, broker, "broker_local_only")
    assert "listens on 127.0.0.1 only" in causes(run, answers, "database_local_only")


def test_a_host_that_is_none(run: Run, answers: Answers) -> None:
    answers["broker.host"] = "nothing.invalid"
    answers["role"] = "web"
    answers["database"] = {"kind": "sqlite"}

    assert "no such host" in causes(run, answers, "broker_host_unknown")


def test_tls_where_the_broker_speaks_none(run: Run, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "BROKER_WAIT_S", 1.0)
    answers["broker.tls"] = "system"
    answers["role"] = "web"
    answers["database"] = {"kind": "sqlite"}

    assert "closes the connection without an answer" in causes(run, answers, "broker_silent")


def test_a_broker_whose_certificate_comes_from_another_ca(run: Run, answers: Answers, tmp_path: Path) -> None:
    with SecureBroker(tmp_path / "secure") as broker:
        answers["broker.port"] = broker.password_port
        answers["broker.tls"] = "system"
        answers["role"] = "web"
        answers["database"] = {"kind": "sqlite"}

        assert "comes from an unknown CA" in causes(run, answers, "broker_tls")


def test_a_wrong_password_at_the_database(run: Run, answers: Answers) -> None:
    answers["role"] = "server"
    answers["database.server.password"] = "wrong"

    assert "Access denied for user 'maker'" in causes(run, answers, "database_login")


def test_a_database_that_is_missing(run: Run, answers: Answers, mariadb: MariaDB) -> None:
    mariadb.execute(f"CREATE OR REPLACE USER 'lord'@'%' IDENTIFIED BY \"{PASSWORD}\"", "GRANT ALL ON *.* TO 'lord'@'%'")
    answers["role"] = "server"
    answers["database.server.user"] = "lord"
    answers["database.name"] = "nowhere"

    assert "Unknown database 'nowhere'" in causes(run, answers, "database_missing")


@pytest.mark.parametrize("right", ["", "SELECT, INSERT"])
def test_a_user_without_rights_in_the_database(
    run: Run, answers: Answers, mariadb: MariaDB, schema: str, right: str
) -> None:
    if right:
        mariadb.execute(f"GRANT {right} ON {schema}.* TO 'reader'@'%'")
    answers["role"] = "server"
    answers["database.server.user"] = "reader"

    said = causes(run, answers, "database_rights")

    assert ("may not make the tables" if right else "Access denied for user 'reader'") in said


def test_a_port_that_another_program_has_open(run: Run, answers: Answers, tmp_path: Path) -> None:
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "receiver")]
    answers["role"] = "gateway"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        said = causes(run, answers, "port_busy")

    assert f"is in use by process {other.pid} ({sys.executable}" in said


def test_a_port_that_is_not_there(run: Run, answers: Answers, tmp_path: Path) -> None:
    answers["role"] = "gateway"
    answers["gateway.serial_port"] = str(tmp_path / "none")

    assert "does not exist" in causes(run, answers, "port_missing")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the rights of another user, which needs root")
def test_a_port_that_this_user_may_not_open(tmp_path: Path, receiver: int) -> None:
    code = """if True:
        import os, sys
        from aoii.commands import doctor_ports
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        print(doctor_ports.examine("serial port", sys.argv[1], "SERIAL_PORT", "").cause)
    """
    device = os.path.realpath(tmp_path / "receiver")
    Path(device).chmod(0o600)
    done = subprocess.run([sys.executable, "-c", code, device], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("port_rights\n", "")


def test_a_folder_that_cannot_be_written(run: Run, answers: Answers) -> None:
    Path("file").touch()
    Path(".env").write_text("AOII_DATA_DIR=file\n")
    answers["role"] = "server"

    code, out, _ = setup(run, answers)

    assert code == 1
    assert "FAIL  server: disk: file" in out
