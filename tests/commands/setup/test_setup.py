"""`aoii setup --yes --answers`: what is written, that a second run changes nothing, and each fault by its cause."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import doctor_checks
from aoii.commands.setup import checks, questions, texts
from aoii.commands.setup.cause_texts import KOREAN
from commands.saved_machine import Run
from commands.setup.place import PASSWORD, Answers
from secure_broker import SecureBroker
from servers import MariaDB, Mosquitto, free_port


def setup(run: Run, answers: Answers, *options: str) -> tuple[int, str, str]:
    return run("setup", "--yes", "--answers", answers.write(), *options)


def files() -> dict[str, str]:
    return {path.name: path.read_text() for path in Path().glob(".env*")}


def test_each_station_gets_its_file_private_from_the_first_byte_and_with_what_it_needs(
    run: Run, answers: Answers
) -> None:
    code, out, err = setup(run, answers)

    assert (code, err) == (0, ""), out
    assert set(files()) == {".env", ".env.gateway", ".env.server", ".env.web"}
    assert {path.stat().st_mode & 0o777 for path in Path().glob(".env*")} == {0o600}
    gateway, server, web = (settings.load({}, station=name) for name in ("gateway", "server", "web"))
    assert (gateway.gateway.region, gateway.mqtt.username, gateway.mqtt.password) == ("KR920", "gateway", PASSWORD)
    assert (server.mqtt.username, server.database.user, server.database.password) == ("server", "maker", PASSWORD)
    assert (web.mqtt.username, web.web.host, web.warnings) == ("web", "127.0.0.1", ())
    assert PASSWORD not in out
    assert "what the server answers reaches the gateway" in out
    assert run("config", "check")[0] == 0


def test_a_second_run_changes_nothing_with_and_without_the_answers(run: Run, answers: Answers) -> None:
    setup(run, answers)
    before = files()

    again, alone = setup(run, answers), run("setup", "--yes")

    assert [code for code, *_ in (again, alone)] == [0, 0]
    assert [out.strip().splitlines()[-1] for _, out, _ in (again, alone)] == [
        "Nothing changes: the files are as the answers say."
    ] * 2
    assert files() == before


def test_what_people_wrote_stays_and_the_former_file_is_kept(run: Run, answers: Answers) -> None:
    setup(run, answers)
    path = Path(".env.gateway")
    path.write_text(f"# on the roof\n{path.read_text()}BETA_TEMP=0.3\nSMTP_HOST=mail\n")
    former = path.read_text()

    answers["region"] = "EU868"
    code, out, _ = setup(run, answers)

    (copy,) = Path().glob(".env.*.bak-*")
    assert code == 0
    assert "-RADIO_REGION=KR920\n+RADIO_REGION=EU868\n" in out
    assert path.read_text() == former.replace("KR920", "EU868")
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == (former, 0o600)


def test_a_dry_run_shows_the_files_as_a_diff_without_a_secret_and_writes_nothing(run: Run, answers: Answers) -> None:
    code, out, _ = setup(run, answers, "--dry-run")

    assert code == 0
    assert "+++ .env.server\n" in out
    assert "+MQTT_PASSWORD=********\n" in out
    assert PASSWORD not in out
    assert files() == {}


def test_all_missing_and_wrong_answers_come_together(run: Run, answers: Answers) -> None:
    del answers["region"]
    del answers["broker.server.password"]
    answers["broker.port"] = "fast"
    answers["broker.hots"] = "x"
    answers["database.web.password"] = ["a", 1]
    answers["database.server.password_file"] = "none"

    code, out, _ = setup(run, answers)

    assert code == 2
    assert {line.split(":")[0] for line in out.splitlines()} == {
        "region", "broker.server.password", "broker.port", "broker.hots", "database.web.password",
        "database.server.password_file",
    }  # fmt: skip
    assert "broker.hots: is no answer that there is; was meant: broker.host?" in out
    assert files() == {}


@pytest.mark.parametrize(("name", "text"), [("a.toml", b"role = "), ("a.json", b"[1]"), ("a", b"{"), ("b", b"\xff")])
def test_a_file_of_answers_that_is_none_is_refused(run: Run, name: str, text: bytes) -> None:
    Path(name).write_bytes(text)

    code, _, err = run("setup", "--yes", "--answers", name)

    assert code == 2
    assert err.startswith(f"aoii setup: {name}")


def test_answers_may_be_toml_and_secrets_in_files_of_their_own(run: Run, guarded: Mosquitto) -> None:
    Path("secret").write_text(f"{PASSWORD}\n")
    Path("secret").chmod(0o600)
    Path("a.toml").write_text(
        f'role = ["server"]\n[broker]\nport = {guarded.port}\nhost = "127.0.0.1"\nlogin = "password"\n'
        '[broker.server]\npassword_file = "secret"\n'
    )

    code, out, _ = run("setup", "--yes", "--answers", "a.toml")

    assert code == 0, out
    assert settings.load({}, station="server").mqtt.password == PASSWORD


def test_without_a_terminal_it_says_so(run: Run) -> None:
    code = "import sys; from aoii.cli import main; sys.exit(main(['setup']))"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no terminal to ask on; give the answers with --yes --answers FILE" in done.stderr


def test_files_that_would_stay_wrong_are_not_written(run: Run, answers: Answers) -> None:
    Path(".env").write_text("OUTBOX_MAX_MB=big\n")

    code, out, _ = setup(run, answers)

    assert code == 2
    assert '.env:1: OUTBOX_MAX_MB is "big"' in out
    assert files() == {".env": "OUTBOX_MAX_MB=big\n"}


def test_a_page_for_other_machines_gets_a_token_once(run: Run, answers: Answers) -> None:
    answers["web.host"] = "0.0.0.0"  # noqa: S104 - nothing listens
    setup(run, answers)
    token = settings.load({}, station="web").web.token
    code, out, _ = setup(run, answers)

    assert token is not None
    assert len(token) == 32
    assert code == 0
    assert "Nothing changes" in out


def test_from_a_database_server_back_to_a_file(run: Run, answers: Answers) -> None:
    setup(run, answers)
    answers["database"] = {"kind": "sqlite"}

    code, out, _ = setup(run, answers)

    assert code == 0, out
    assert settings.load({}, station="server").database.host is None
    assert not [name for name, text in files().items() if "MYSQL" in text and ".bak" not in name]


def test_its_own_errors_are_in_both_languages(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for language in ("en_GB.UTF-8", "ko_KR.UTF-8"):
        monkeypatch.setenv("LC_ALL", language)
        said += [run("setup", *words)[2] for words in ((), ("--yes", "--root", "x"), ("--yes", "--answers", "none"))]

    assert [bool(re.search("[가-힣]", one)) for one in said] == [False] * 3 + [True] * 3


def test_every_text_is_in_both_languages_and_every_cause_and_question_has_one() -> None:
    folder = Path(checks.__file__).parent
    source = "".join(path.read_text() for path in (*folder.glob("*.py"), *folder.parent.glob("doctor_*.py")))
    made = set(re.findall(r'cause="(\w+)"', source)) | set(re.findall(r'"((?:database|broker)_[a-z_]+)",?\n', source))
    words = {"host_unknown", "local_only", "refused", "no_answer", "network"}
    made |= {f"{subject}_{word}" for subject in ("broker", "database") for word in words}

    assert made - {"database_schema", "database_read_only"} <= KOREAN.keys()
    for table in (texts.QUESTIONS, texts.OPTIONS, texts.WRONG, texts.SAID):
        for english, korean in table.values():
            assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", korean) or "{about}" in english
            assert english
            assert korean
    assert {key.split(".")[0] + "." + key.split(".")[-1] if "." in key else key for key in questions.known_keys()} <= (
        texts.QUESTIONS.keys()
    )


# --- every cause, produced for real -----------------------------------------------------------------------------------


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
