"""Access: without a token on loopback only, anywhere else with the token; and the security headers of every answer."""

import ipaddress
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from aoii import settings
from aoii.core.errors import InputError
from aoii.runtime import metrics
from aoii.security import authority
from aoii.server.db import open_database
from aoii.settings.faults import SettingsError
from aoii.web import access, app
from servers import free_port
from web.conftest import Load
from web.station import WebStation

TOKEN = "0123456789abcdef-token"  # noqa: S105 - of a page that lives for a test
PATHS = ["/", "/api/stats", "/api/recent", "/api/nodes", "/api/history", "/events", "/metrics", "/nix", "/static"]
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def page(folder: Path, **values: object) -> Starlette:
    """The page over the data folder, without a broker."""
    named = {"AOII_DATA_DIR": folder, "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": free_port(), "WEB_TOKEN": TOKEN} | values
    return app.create_app(settings.load({name: str(value) for name, value in named.items()}))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("data")
    open_database(settings.load({"AOII_DATA_DIR": str(folder)}).database, migrate=True).close()
    with pytest.MonkeyPatch.context() as patch, TestClient(page(folder), follow_redirects=False) as client:
        patch.setattr(access, "REFUSAL_S", 0)
        yield client


@pytest.fixture
def client(served: TestClient) -> TestClient:
    """A browser without cookies."""
    served.cookies.clear()
    return served


def log_in(client: TestClient, token: str = TOKEN) -> httpx2.Response:
    answer: httpx2.Response = client.post("/login", data={"token": token})
    return answer


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_every_path_is_refused_and_counted(client: TestClient, path: str) -> None:
    before = metrics.value(metrics.WEB_REFUSALS)

    answer = client.get(path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer" in answer.json()["error"]
    assert metrics.value(metrics.WEB_REFUSALS) == before + 1


@pytest.mark.parametrize("path", ["/", "/api/stats", "/api/recent", "/metrics", "/healthz"])
def test_a_script_that_sends_the_token_is_answered(client: TestClient, path: str) -> None:
    assert client.get(path, headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xff",
        "bearer x",
    ],
)
def test_a_wrong_token_is_refused(client: TestClient, shown: str) -> None:
    assert client.get("/api/stats", headers={b"Authorization": shown.encode("latin1")}).status_code == 401


def test_a_browser_is_redirected_to_the_form_and_from_there_to_the_page(client: TestClient) -> None:
    led = client.get("/", headers={"Accept": "text/html,*/*"})
    form = client.get(led.headers["Location"])
    entered = log_in(client)

    assert (led.status_code, form.status_code, entered.status_code) == (303, 200, 303)
    assert 'type="password"' in form.text
    assert client.get("/").status_code == 200
    assert client.get("/api/stats").status_code == 200


def test_the_form_loads_only_what_the_policy_allows(client: TestClient) -> None:
    form = client.get("/login")

    assert not re.search(r"<style|\sstyle=|\son\w+=|<script", form.text)
    assert "form-action 'self'" in form.headers["Content-Security-Policy"]
    for asset in re.findall(r'href="([^"]+)"', form.text):
        assert client.get(f"/{asset}").status_code == 200, asset


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites_and_does_not_hold_the_token(
    client: TestClient,
) -> None:
    cookie = log_in(client).headers["Set-Cookie"]

    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in cookie


def test_over_https_the_cookie_stays_on_https(tmp_path: Path) -> None:
    client = TestClient(page(tmp_path), base_url="https://page", follow_redirects=False)

    assert "Secure" in log_in(client).headers["Set-Cookie"]


def test_a_wrong_token_in_the_form_gets_no_cookie_and_is_counted(client: TestClient) -> None:
    before = metrics.value(metrics.WEB_REFUSALS)

    answer = log_in(client, "guess")

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert "token is not valid" in answer.text
    assert metrics.value(metrics.WEB_REFUSALS) == before + 1


@pytest.mark.parametrize("body", [b"", b"token", b"\xff\xfe", b"x" * 100_000, b"&".join([b"a=1"] * 99), b"token=%00"])
def test_every_malformed_form_is_refused_in_the_same_way(client: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    assert client.post("/login", content=body, headers=headers).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_the_form_takes_no_other_method(client: TestClient, method: str) -> None:
    assert client.request(method, "/login").status_code == 405


def test_a_session_ends_after_a_month_and_with_another_token() -> None:
    token, now_s = TOKEN.encode(), int(time.time())

    def is_known(issued_s: int, by: bytes = token) -> bool:
        return access._is_authorized(
            Headers({"Cookie": f"x=1; {access.COOKIE}={access._session(issued_s, by)}"}), token
        )

    assert is_known(now_s)
    assert is_known(now_s - 29 * 86400)
    assert not is_known(now_s - 31 * 86400)
    assert not is_known(now_s + 86400)
    assert not is_known(now_s, b"another-token-of-16")


@given(st.text(max_size=120))
def test_no_arbitrary_cookie_is_a_session(text: str) -> None:
    headers = Headers(raw=[(b"cookie", f"{access.COOKIE}={text}".encode("utf-8", "surrogatepass"))])

    assert not access._is_authorized(headers, TOKEN.encode())


def test_a_probe_without_the_token_gets_ok_and_no_reason(client: TestClient, tmp_path: Path) -> None:
    unwell = TestClient(page(tmp_path))  # without a database

    assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"ok": True})
    assert (unwell.get("/healthz").status_code, unwell.get("/healthz").json()) == (503, {"ok": False})
    assert unwell.get("/readyz").json() == {"ok": False}
    assert unwell.get("/healthz", headers=BEARER).json().keys() > {"ok"}


def test_without_a_token_every_request_is_answered(tmp_path: Path) -> None:
    client = TestClient(page(tmp_path, WEB_TOKEN=""))

    assert client.get("/").status_code == 200
    assert client.get("/healthz").json().keys() > {"ok"}


# --- where it listens -------------------------------------------------------------------------------------------------


def test_unless_told_otherwise_the_page_listens_on_loopback() -> None:
    assert ipaddress.ip_address(settings.load({}).web.host).is_loopback


@pytest.mark.usefixtures("stop")
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what is refused
def test_another_address_than_loopback_is_refused_without_a_token(load: Load, host: str) -> None:
    with pytest.raises(SettingsError, match="WEB_TOKEN"):
        app.run(load(WEB_HOST=host))


@pytest.mark.parametrize("token", ["short", "fifteen-of-them", "sechzehn Zeichen ä"])
def test_a_weak_token_is_a_fault_that_does_not_show_the_token(token: str) -> None:
    with pytest.raises(SettingsError, match="WEB_TOKEN is set; use 16 or more") as caught:
        settings.load({"WEB_TOKEN": token})

    assert token not in str(caught.value)


@pytest.mark.usefixtures("stop")
def test_a_certificate_without_its_key_fails_before_anything_is_served(load: Load, tmp_path: Path) -> None:
    authority.make_authority(tmp_path)
    one, other = (authority.make_server(tmp_path, name, ["localhost"]) for name in ("one", "other"))

    with pytest.raises(InputError, match="WEB_TLS_CERT"):
        app.run(load(WEB_TLS_CERT=one.certificate, WEB_TLS_KEY=other.key))


def test_the_station_requires_the_token_on_every_address_and_streams_with_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    made = authority.make_authority(tmp_path / "certs").certificate
    pair = authority.make_server(tmp_path / "certs", "page", ["127.0.0.1"])
    station = WebStation(
        tmp_path,
        WEB_HOST="0.0.0.0",  # noqa: S104 - the point of the test
        WEB_TOKEN_FILE=tmp_path / "token",
        WEB_TLS_CERT=pair.certificate,
        WEB_TLS_KEY=pair.key,
    )
    values = {name: str(value) for name, value in station.values.items()}
    open_database(settings.load(values).database, migrate=True).close()
    verify = ssl.create_default_context(cafile=str(made))
    with (
        station,
        httpx2.Client(base_url=f"https://127.0.0.1:{station.port}", verify=verify, timeout=30) as client,
    ):
        assert client.get("/events").status_code == 401
        with client.stream("GET", "/events", headers=BEARER) as stream:
            assert stream.status_code == 200
            assert next(line for line in stream.iter_lines() if line.startswith("event: ")) == "event: snapshot"
        entered = client.post("/login", data={"token": TOKEN})
        assert entered.status_code == 303
        with client.stream("GET", "/events") as stream:  # a page shows the cookie by itself
            assert stream.status_code == 200

    assert TOKEN not in (tmp_path / "server.log").read_text()


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/static/vendor/uPlot.iife.min.js", "/api/stats", "/metrics", "/nix"]
)
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_the_page_has_no_inline_script_or_style_and_names_no_other_server(client: TestClient) -> None:
    text = client.get("/").text

    assert not re.search(r"<script(?![^>]* src=)", text)
    assert not re.search(r"<style|\sstyle=|\son\w+=", text)
    assert "//" not in text.replace("<!doctype html>", "")


def test_a_browser_asks_for_a_new_page_after_an_upgrade(client: TestClient) -> None:
    assert client.get("/static/app.js").headers["Cache-Control"] == "no-cache"
