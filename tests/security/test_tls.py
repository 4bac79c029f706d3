"""TLS: what a failed handshake means, which files are usable, and when a certificate expires."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.security import authority, tls
from aoii.security.tls import Tls

PEER = "broker.example:8883"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    authority.make_authority(folder)
    authority.make_client(folder, "attic", days=10)
    authority.make_client(folder, "other")
    return folder


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (
            "sslv3 alert certificate expired",
            "our certificate has expired",
            "_KEY",
        ),
        ("certificate verify failed: certificate has expired", f"the certificate of {PEER} has expired", "renew it"),
        ("certificate verify failed: self-signed certificate", f"{PEER} comes from an unknown CA", "MQTT_TLS_CA"),
        ("Hostname mismatch, certificate is not valid for 'x'", "is for another name", "use a name"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "does not speak TLS", "remove MQTT_TLS_CA"),
        ("certificate verify failed: a; b; c", "(certificate verify failed: a; b; c)", "check MQTT_TLS_CA"),
    ],
)
def test_a_failed_handshake_has_a_problem_and_a_remedy(words: str, problem: str, remedy: str) -> None:
    found = tls.explain(words, PEER, Tls(None, None, None, "MQTT_TLS"))

    assert found is not None
    assert problem in found.problem
    assert remedy in found.remedy


def test_every_meaning_has_one_problem_and_one_remedy_without_placeholders() -> None:
    for part, _, _ in tls._MEANINGS:
        found = tls.explain(part, PEER, Tls(None, None, None, "X"))

        assert found is not None
        assert found.remedy
        assert "{" not in str(found)


def test_an_error_with_another_cause_has_no_explanation() -> None:
    assert tls.explain("Connection refused", PEER, Tls(None, None, None, "X")) is None


def test_a_context_verifies_the_peer_and_is_made_of_files_that_fit(certs: Path, tmp_path: Path) -> None:
    cert, key = certs / "attic.crt", certs / "attic.key"

    made = tls.context(Tls(certs / "ca.crt", cert, key, "X_TLS"))

    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    (tmp_path / "empty").touch()
    for wrong, setting in (
        (Tls(tmp_path / "empty", None, None, "X_TLS"), "X_TLS_CA"),
        (Tls(None, cert, certs / "other.key", "X_TLS"), "X_TLS_CERT"),
    ):
        with pytest.raises(InputError, match=setting):
            tls.context(wrong)


def test_a_certificate_says_when_it_expires_and_whose_it_is(certs: Path) -> None:
    left = tls.expires(certs / "attic.crt") - datetime.now(UTC)

    assert timedelta(days=9, hours=20) < left < timedelta(days=10)
    assert tls.common_name(certs / "attic.crt") == "attic"
    assert tls.expires_of_peer(object()) is None
    with pytest.raises(InputError, match="no readable certificate"):
        tls.expires(certs / "attic.key")
