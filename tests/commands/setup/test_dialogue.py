"""`aoii setup` on a terminal, in both languages: its questions, wrong answers, the test, and the settings that run."""

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii import settings
from commands.setup.place import PASSWORD, Answers
from servers import MariaDB, free_port, until

WAIT_S = 60.0
CODE = "import sys; from aoii.cli import main; sys.exit(main(sys.argv[1:]))"


class Conversation:
    """The person's end of the terminal."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = os.openpty()
        self.said = ""
        self._read = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, "setup", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        os.close(theirs)

    def answer(self, *expected: str, with_: str) -> None:
        """Wait for a prompt that comes after the expected words, and type a line."""
        self._wait(*expected)
        os.write(self._ours, f"{with_}\n".encode())

    def end(self) -> int:
        """Wait for the end; the exit code."""
        with contextlib.suppress(OSError):  # what Linux says when the other end is closed
            while self._more():
                pass
        os.close(self._ours)
        return self.process.wait(WAIT_S)

    def _wait(self, *expected: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while True:
            new = self.said[self._read :]
            if all(words in new for words in expected) and new.endswith("> "):
                self._read = len(self.said)
                return
            assert time.monotonic() < deadline_s, f"{expected} did not come: {new}"
            self._more()

    def _more(self) -> bool:
        if select.select([self._ours], [], [], WAIT_S)[0]:
            chunk = os.read(self._ours, 4096)
            self.said += chunk.decode(errors="replace").replace("\r\n", "\n")
            return bool(chunk)
        raise AssertionError(f"nothing more came after: {self.said}")


def converse(answers: Answers, language: str) -> Conversation:
    """Answer all questions on the first place, with a wrong answer among them."""
    tree = answers.tree
    talk = Conversation("--env-file", ".env") if Path(".env").exists() else Conversation()
    korean = language == "ko"
    talk.answer("Language / 언어", "2  한국어", with_="2" if korean else "1")
    if os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        talk.answer("systemd", with_="no")
    talk.answer("역할" if korean else "What does this machine do?", "1  all", with_="1")
    talk.answer("어느 지역" if korean else "Where are the nodes used?", "KR920", with_="moon")
    talk.answer("다음 가운데에서" if korean else "choose one of", with_="KR920")
    talk.answer("게이트웨이의 이름" if korean else "Name of this gateway", "[gateway]", with_="")
    talk.answer(
        "수신기의 시리얼 포트" if korean else "Serial port of the receiver", with_=tree["gateway"]["serial_port"]
    )
    talk.answer("브로커의 호스트" if korean else "Host of the MQTT broker", "[localhost]", with_="127.0.0.1:1883")
    talk.answer("포트 없이" if korean else "without a port", with_="127.0.0.1")
    talk.answer("TLS", "[none]", with_="")
    talk.answer("브로커의 포트" if korean else "Port of the broker", "[1883]", with_=str(tree["broker"]["port"]))
    talk.answer("로그인" if korean else "log in at the broker", with_="2")
    for station in ("gateway", "server", "web"):
        talk.answer(station, f"[{station}]", with_="")
        talk.answer("비밀번호" if korean else "Password", with_="wrong" if station == "web" else PASSWORD)
    talk.answer("어디에 저장" if korean else "Where do the readings go?", with_="2")
    talk.answer("호스트" if korean else "Host of the database", with_="127.0.0.1")
    talk.answer("데이터베이스의 포트" if korean else "Port of the database", with_=str(tree["database"]["port"]))
    talk.answer("TLS", with_="1")
    talk.answer("데이터베이스 이름" if korean else "Name of the database", "[aoii]", with_=tree["database"]["name"])
    for station in ("server", "web"):
        talk.answer(station, with_="maker")
        talk.answer("비밀번호" if korean else "Password", with_=PASSWORD)
    talk.answer("127.0.0.1", with_="")
    talk.answer("[5001]", with_=str(free_port()))
    return talk


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_wrong_password_is_found_corrected_and_then_all_is_written(answers: Answers, language: str) -> None:
    korean = language == "ko"

    talk = converse(answers, language)
    refused = "브로커가 사용자 이름이나 비밀번호를 거부했습니다" if korean else "the broker refused the connection"
    talk.answer(refused, "답을 고치기" if korean else "change answers", with_="2")
    for _ in range(8):  # up to the login: as answered before
        talk.answer(with_="")
    for password in ("", "", PASSWORD):
        talk.answer(with_="")
        talk.answer("[********]", with_=password)
    for _ in range(12):  # the rest, and that it is to be written
        talk.answer(with_="")
    code = talk.end()

    assert code == 0, talk.said
    assert ("이전 파일은" if korean else "the former file is") not in talk.said
    assert settings.load({}, station="web").mqtt.password == PASSWORD
    assert PASSWORD not in talk.said
    first = Path(".env").read_text().splitlines()[0]
    assert bool(re.search("[가-힣]", first)) == korean


def test_whoever_stops_has_changed_nothing(answers: Answers) -> None:
    talk = converse(answers, "en")
    talk.answer("What now?", with_="stop")

    assert talk.end() == 1
    assert talk.said.endswith("Nothing was written.\n")
    assert list(Path().glob(".env*")) == []


def test_a_file_of_answers_is_what_is_proposed(answers: Answers) -> None:
    talk = Conversation("--answers", str(answers.write()), "--no-test", "--dry-run")
    talk.answer("[en]", with_="")
    if os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        talk.answer("systemd", with_="no")
    for _ in range(25):
        talk.answer(with_="")

    assert talk.end() == 0, talk.said
    assert "+RADIO_REGION=KR920\n" in talk.said
    assert talk.said.count("********\n") == 5
    assert PASSWORD not in talk.said
    assert list(Path().glob(".env*")) == []


def test_a_terminal_that_is_closed_ends_it(answers: Answers) -> None:
    talk = Conversation()
    talk.answer("Language", with_="1")
    talk.answer(with_="\x04")

    assert talk.end() == 1
    assert list(Path().glob(".env*")) == []


# --- what is written runs ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def station(name: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A station with the settings of this folder, and a free status port."""
    setting = {"gateway": "GATEWAY_STATUS_PORT", "server": "SERVER_STATUS_PORT"}[name]
    with Path(f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, name], stdout=log, stderr=log, env={**os.environ, setting: str(port)}
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def test_a_reading_goes_through_the_stations_with_the_settings_that_were_written(
    answers: Answers, mariadb: MariaDB, schema: str, receiver: int
) -> None:
    assert subprocess.run(
        [sys.executable, "-c", CODE, "setup", "--yes", "--answers", answers.write()], check=False
    ).returncode == 0  # fmt: skip

    with station("server", free_port()), station("gateway", free_port()):

        def is_stored() -> bool:
            os.write(receiver, b"Received: 21.50,40.25\n")
            with contextlib.suppress(Exception):
                return bool(mariadb.execute("SELECT id FROM readings WHERE actual_temp = 21.5", database=schema))
            return False

        until(is_stored, WAIT_S, "the reading in the database", every_s=0.5)
