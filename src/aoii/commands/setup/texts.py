"""What `aoii setup` says, in English and Korean. Pure: words only."""

from collections.abc import Mapping

from aoii.commands.findings import Finding
from aoii.commands.setup.answers import Wrong
from aoii.commands.setup.cause_texts import KOREAN
from aoii.commands.setup.questions import Question

# The name of a question, then its text; below it those of its options.
QUESTIONS = {
    "language": ("Language / 언어", "Language / 언어"),
    "role": (
        "What does this machine do? Several: with commas between them",
        "이 컴퓨터의 역할은 무엇입니까? 여럿이면 쉼표로 구분하세요",
    ),
    "region": ("Where are the nodes used? (radio rules)", "노드를 어느 지역에서 사용합니까? (전파 규정)"),
    "gateway.id": (
        "Name of this gateway; each has its own, and it never changes",
        "이 게이트웨이의 이름 (게이트웨이마다 다르게 정하고, 나중에 바꾸지 마세요)",
    ),
    "gateway.serial_port": ("Serial port of the receiver", "수신기의 시리얼 포트"),
    "edgelog.port": ("Serial port with a node's USB log", "노드의 USB 로그가 나오는 시리얼 포트"),
    "broker.host": ("Host of the MQTT broker", "MQTT 브로커의 호스트"),
    "broker.tls": ("Is the connection to the broker encrypted (TLS)?", "브로커 연결을 암호화(TLS)합니까?"),
    "broker.ca": ("File with the certificate of the broker's CA", "브로커 인증 기관(CA)의 인증서 파일"),
    "broker.port": ("Port of the broker", "브로커의 포트"),
    "broker.login": ("How do stations log in at the broker?", "스테이션은 브로커에 어떻게 로그인합니까?"),
    "broker.user": ("User of {station} at the broker", "브로커에서 {station}의 사용자 이름"),
    "broker.password": ("Password of this user", "이 사용자의 비밀번호"),
    "broker.cert": ("File with the certificate of {station}", "{station}의 인증서 파일"),
    "broker.key": ("File with the key of this certificate", "이 인증서의 개인 키 파일"),
    "database.kind": ("Where do the readings go?", "측정값을 어디에 저장합니까?"),
    "database.host": ("Host of the database", "데이터베이스의 호스트"),
    "database.port": ("Port of the database", "데이터베이스의 포트"),
    "database.tls": (
        "Is the database server verified by a certificate (TLS)?",
        "데이터베이스 서버를 인증서(TLS)로 검증합니까?",
    ),
    "database.ca": ("File with the certificate of the database's CA", "데이터베이스 인증 기관(CA)의 인증서 파일"),
    "database.name": ("Name of the database", "데이터베이스 이름"),
    "database.user": ("User of {station} at the database", "데이터베이스에서 {station}의 사용자 이름"),
    "database.password": ("Password of this user", "이 사용자의 비밀번호"),
    "web.host": (
        "Address of the web page; 127.0.0.1: for this machine only",
        "웹 페이지의 주소 (127.0.0.1이면 이 컴퓨터에서만 볼 수 있습니다)",
    ),
    "web.port": ("Port of the web page", "웹 페이지의 포트"),
    "web.token": (
        "Access token of the page, 16 characters or more; generate: make one",
        "웹 페이지의 접근 토큰, 16자 이상 (generate: 새로 만듭니다)",
    ),
}
OPTIONS = {
    "en": ("English", "English"),
    "ko": ("한국어", "한국어"),
    "all": ("all: gateway, server and web page", "all: 게이트웨이, 서버, 웹 페이지 모두"),
    "gateway": ("gateway: has the receiver", "gateway: 수신기가 연결된 게이트웨이"),
    "server": ("server: writes readings into the database", "server: 측정값을 데이터베이스에 쓰는 서버"),
    "web": ("web: the page", "web: 웹 페이지"),
    "csv": ("csv: a CSV file of all messages", "csv: 모든 메시지를 CSV 파일로 저장"),
    "edgelog": ("edgelog: a node's USB log", "edgelog: 노드의 USB 로그"),
    "EU868": ("EU868: Europe, 868.1 MHz", "EU868: 유럽, 868.1 MHz"),
    "EU433": ("EU433: Europe, 433.175 MHz", "EU433: 유럽, 433.175 MHz"),
    "KR920": ("KR920: Korea, 922.1 MHz, listen before talk", "KR920: 한국, 922.1 MHz, 송신 전 채널 확인(LBT)"),
    "US915": ("US915: USA, 915.0 MHz at lowest power", "US915: 미국, 915.0 MHz, 최저 출력"),
    "older": ("older: 433.0 MHz, as nodes with the old firmware", "older: 433.0 MHz, 이전 펌웨어 노드와 같음"),
    "broker.tls.none": ("none", "none: 암호화하지 않음"),
    "own": ("own: certificates of our own CA", "own: 직접 만든 인증 기관(CA)의 인증서"),
    "system": ("system: a CA that this machine trusts", "system: 이 컴퓨터가 신뢰하는 인증 기관"),
    "broker.login.none": ("none: anonymous", "none: 익명"),
    "password": ("password", "password: 비밀번호"),
    "certificate": ("certificate", "certificate: 인증서"),
    "sqlite": ("sqlite: a file on this machine", "sqlite: 이 컴퓨터의 파일"),
    "mysql": ("mysql: a MySQL or MariaDB server", "mysql: MySQL 또는 MariaDB 서버"),
    "database.tls.none": ("none", "none: 검증하지 않음"),
    "yes": ("yes", "yes: 예"),
    "no": ("no", "no: 아니요"),
    "again": ("test again", "다시 시험"),
    "change": ("change answers", "답을 고치기"),
    "write": ("write the settings nevertheless", "그래도 설정을 쓰기"),
    "stop": ("stop, and write nothing", "아무것도 쓰지 않고 끝내기"),
}
WRONG = {
    "choice": ("choose one of: {about}", "다음 가운데에서 고르세요: {about}"),
    "empty": ("an answer is needed", "답을 입력해야 합니다"),
    "line": ("give one line that neither begins nor ends with a blank", "앞뒤에 공백이 없는 한 줄로 입력하세요"),
    "host": (
        "give a host name or an address such as 127.0.0.1, without a port",
        "호스트 이름이나 127.0.0.1 같은 주소를 포트 없이 입력하세요",
    ),
    "port": ("give a whole number from 1 to 65535", "1부터 65535까지의 정수를 입력하세요"),
    "name": (
        "use 1 to 64 letters, digits, dots, dashes or underscores",
        "영문자, 숫자, 점, 하이픈, 밑줄로 1~64자를 입력하세요",
    ),
    "file": ("there is no such file; give the path of one", "그런 파일이 없습니다. 있는 파일의 경로를 입력하세요"),
    "key": (
        "give the path of a file that only its owner and group can read (chmod 600)",
        "소유자와 그룹만 읽을 수 있는 파일의 경로를 입력하세요 (chmod 600)",
    ),
    "ports": (
        "name a port, such as /dev/serial/by-id/…; with commas between several",
        "/dev/serial/by-id/… 같은 포트를 입력하세요. 여럿이면 쉼표로 구분합니다",
    ),
    "token": ("use 16 or more ASCII characters", "ASCII 문자 16자 이상을 입력하세요"),
    "unknown": ("is no answer that there is; was meant: {about}?", "은(는) 없는 항목입니다. 혹시: {about}?"),
    "kind": (
        "must be a text, a whole number, yes or no, or a list of texts",
        "문자열, 정수, 참/거짓, 문자열 목록이어야 합니다",
    ),
    "twice": ("is answered twice; keep one of the two", "두 번 답했습니다. 하나만 남기세요"),
    "secret_file": (
        "name a file with the secret in its first line that only its owner and group can read ({about})",
        "첫 줄에 비밀값이 있고 소유자와 그룹만 읽을 수 있는 파일을 지정하세요 ({about})",
    ),
    "missing": ("the answer is missing", "답이 빠졌습니다"),
}
SAID = {
    "system": (
        "Install user, folders and systemd units, so that the stations start with the machine?",
        "사용자, 폴더, systemd 유닛을 설치해서 부팅할 때 스테이션이 시작되게 합니까?",
    ),
    "welcome": (
        "aoii setup asks what this machine is to do, tests it, shows what it will write, and then writes it.\n"
        "Enter takes what is in brackets; Ctrl-C ends it, and nothing is written.",
        "aoii setup은 이 컴퓨터가 할 일을 묻고, 시험하고, 쓸 내용을 보여 준 다음 설정을 씁니다.\n"
        "Enter를 누르면 괄호 안의 값을 씁니다. Ctrl-C를 누르면 아무것도 쓰지 않고 끝납니다.",
    ),
    "testing": ("Testing…", "시험하는 중…"),
    "ok": ("ok  ", "정상"),
    "fail": ("FAIL", "실패"),
    "works": ("{subject} works", "{subject} 정상"),
    "failed": ("Something does not work. What now?", "동작하지 않는 것이 있습니다. 어떻게 할까요?"),
    "nothing": (
        "Nothing changes: the files are as the answers say.",
        "바뀌는 것이 없습니다. 파일이 이미 답과 같습니다.",
    ),
    "will": ("This will be written:", "다음 내용을 씁니다:"),
    "confirm": ("Write it?", "쓸까요?"),
    "written": ("{path} is written", "{path} 파일을 썼습니다"),
    "kept": ("{path} is written; the former file is {copy}", "{path} 파일을 썼습니다. 이전 파일은 {copy}입니다"),
    "token": ("The access token of the page is in {path}.", "웹 페이지의 접근 토큰은 {path}에 있습니다."),
    "stopped": ("Nothing was written.", "아무것도 쓰지 않았습니다."),
    "untested": (
        "not written, because something does not work; --no-test writes it nevertheless",
        "동작하지 않는 것이 있어 쓰지 않았습니다. 그래도 쓰려면 --no-test를 주세요",
    ),
    "next": (
        "Start the stations, each in a terminal of its own: {commands}",
        "터미널을 하나씩 열어 스테이션을 시작하세요: {commands}",
    ),
    "next_system": ("Start the stations: {commands}", "스테이션을 시작하세요: {commands}"),
    "root_alone": ("--root is for --system; give both", "--root는 --system과 함께 쓰세요"),
    "needs_root": (
        "only root can install user, folders and units; run it with sudo, or leave out --system",
        "사용자, 폴더, 유닛은 root만 설치할 수 있습니다. sudo로 실행하거나 --system을 빼세요",
    ),
    "home": (
        "{path} is in a home directory, which units cannot read; install aoii in /opt/aoii",
        "{path}은(는) 홈 디렉터리에 있어 유닛이 읽을 수 없습니다. aoii를 /opt/aoii에 설치하세요",
    ),
    "unreadable": (
        "{path} cannot be read ({about}); give a file of answers",
        "{path} 파일을 읽을 수 없습니다 ({about}). 답 파일을 지정하세요",
    ),
    "form": (
        "{path}: {about}; write TOML, or JSON in a file that ends in .json",
        "{path}: {about}. TOML로 쓰거나, 이름이 .json으로 끝나는 파일에 JSON으로 쓰세요",
    ),
    "unwritable": (
        "{path} cannot be written ({about}); run this as the user whose file it is, or as root",
        "{path} 파일을 쓸 수 없습니다 ({about}). 파일의 소유자나 root로 실행하세요",
    ),
    "no_terminal": (
        "there is no terminal to ask on; give the answers with --yes --answers FILE",
        "질문할 터미널이 없습니다. --yes --answers FILE로 답을 주세요",
    ),
    "files_wrong": (
        "the files would not be right; correct this, then run it again",
        "이대로는 설정 파일이 올바르지 않습니다. 다음을 고친 뒤 다시 실행하세요",
    ),
}
SUBJECTS = {
    "disk": "디스크", "serial port": "시리얼 포트", "log port": "로그 포트", "web page": "웹 페이지",
    "broker": "브로커", "database": "데이터베이스", "certificate": "인증서",
}  # fmt: skip


class Texts:
    """What is said in one language, `en` or `ko`."""

    def __init__(self, language: str) -> None:
        self._at = 1 if language == "ko" else 0

    def question(self, question: Question) -> str:
        """The text of a question."""
        return QUESTIONS[question.text_key][self._at].format(station=question.station or "")

    def option(self, question: str, option: str) -> str:
        """The text of an option of the question with this name; a port is its own."""
        return OPTIONS.get(f"{question}.{option}", OPTIONS.get(option, (option, option)))[self._at]

    def wrong(self, fault: Wrong) -> str:
        """What to do about a wrong answer."""
        return WRONG[fault.word][self._at].format(about=fault.about)

    def said(self, word: str, **values: object) -> str:
        """A sentence."""
        return SAID[word][self._at].format(**values)

    def finding(self, station: str, finding: Finding) -> str:
        """A finding of the live test, with what to do."""
        is_well = finding.remedy is None
        mark = SAID["ok" if is_well else "fail"][self._at]
        if not self._at:
            remedy = "" if is_well else f"\n      -> {finding.remedy}"
            return f"{mark}  {station}: {finding.subject}: {finding.state}{remedy}"
        subject = SUBJECTS.get(finding.subject, finding.subject)
        if is_well:
            return f"{mark}  {station}: {self.said('works', subject=subject)}"
        state, remedy = _korean(finding)
        return f"{mark}  {station}: {subject}: {state}\n      -> {remedy}"


def _korean(finding: Finding, texts: Mapping[str, tuple[str, str]] = KOREAN) -> tuple[str, str]:
    state, remedy = texts.get(finding.cause, ("{about}", "영어 메시지를 참고하세요"))
    return state.format(about=finding.about or finding.state), remedy.format(about=finding.about)
