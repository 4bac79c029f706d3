"""`aoii setup --yes --answers`: what is written, what stays, and that a second run changes nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands.setup import checks, questions, texts
from aoii.commands.setup.cause_texts import KOREAN
from commands.saved_machine import Run
from commands.setup.place import PASSWORD, Answers, files, setup
from servers import Mosquitto


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
