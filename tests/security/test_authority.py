"""The certificate authority: what it signs, and files that only their owner reads and nothing overwrites."""

import os
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.security import authority, tls
from aoii.security.tls import Tls

HOSTS = ["broker.example", "10.0.0.5", "fd00::5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    authority.make_authority(folder)
    authority.make_server(folder, "broker", HOSTS)
    authority.make_client(folder, "attic")
    return folder


def test_keys_are_for_their_owner_and_certificates_for_everybody(folder: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}

    assert modes == {
        "ca.key": 0o600, "broker.key": 0o600, "attic.key": 0o600,
        "ca.crt": 0o644, "broker.crt": 0o644, "attic.crt": 0o644,
    }  # fmt: skip


def test_the_mode_is_the_same_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = authority.make_authority(tmp_path / "new")
    finally:
        os.umask(before)

    assert (made.key.stat().st_mode & 0o777, (tmp_path / "new").stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("name", ["ca", "broker", "attic"])
def test_openssl_verifies_what_was_made(folder: Path, name: str) -> None:
    purpose = {"ca": [], "broker": ["-purpose", "sslserver"], "attic": ["-purpose", "sslclient"]}[name]

    outcome = subprocess.run(
        ["openssl", "verify", "-x509_strict", *purpose, "-CAfile", folder / "ca.crt", folder / f"{name}.crt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_a_handshake_of_both_sides_holds_and_the_name_is_checked(folder: Path) -> None:
    assert handshake(folder, "broker.example") == "CN=attic"
    assert handshake(folder, "10.0.0.5") == "CN=attic"
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(folder, "other.example")


def handshake(folder: Path, host: str) -> str:
    """A handshake in memory with the server at `host`; the subject of the client that the server sees."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(folder / "broker.crt", folder / "broker.key")
    client = tls.context(Tls(folder / "ca.crt", folder / "attic.crt", folder / "attic.key", "X"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=host)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    done = 0
    for end in (here, there, here, there):
        try:
            end.do_handshake()
            done += 1
        except ssl.SSLWantReadError:
            continue
    assert done >= 2
    shown = there.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).subject.rfc4514_string()


def test_what_a_certificate_says_is_shown(folder: Path) -> None:
    (broker,) = authority.describe(folder / "broker.crt")
    (attic,) = authority.describe(folder / "attic.crt")
    (own,) = authority.describe(folder / "ca.crt")

    assert (broker.subject, broker.issuer, list(broker.hosts)) == ("CN=broker", "CN=aoii authority", HOSTS)
    assert (broker.purposes, attic.purposes, own.purposes) == (("server",), ("client",), ("authority",))
    assert timedelta(days=729) < broker.expires - datetime.now(UTC) < timedelta(days=731)
    assert tls.expires(folder / "broker.crt") == broker.expires


@pytest.mark.parametrize("lost", [".crt", ".key"])
def test_nothing_is_overwritten_not_even_half(tmp_path: Path, lost: str) -> None:
    authority.make_authority(tmp_path)
    kept = authority.make_client(tmp_path, "attic")
    (tmp_path / f"attic{lost}").unlink()
    (left,) = tmp_path.glob("attic.*")
    before = left.read_bytes()

    with pytest.raises(InputError, match="exists and is not overwritten"):
        authority.make_client(tmp_path, "attic")
    with pytest.raises(InputError, match="exists and is not overwritten"):
        authority.make_authority(tmp_path)

    assert left.read_bytes() == before
    assert left in (kept.certificate, kept.key)


def test_without_an_authority_nothing_is_signed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="aoii certs ca"):
        authority.make_client(tmp_path, "attic")


def test_an_authority_whose_key_others_may_read_signs_nothing(tmp_path: Path) -> None:
    authority.make_authority(tmp_path).key.chmod(0o644)

    with pytest.raises(InputError, match="chmod 600"):
        authority.make_client(tmp_path, "attic")


def test_the_key_of_another_authority_signs_nothing(tmp_path: Path) -> None:
    authority.make_authority(tmp_path)
    other = authority.make_authority(tmp_path / "other")
    (tmp_path / "ca.key").write_bytes(other.key.read_bytes())

    with pytest.raises(InputError, match="not the key of"):
        authority.make_client(tmp_path, "attic")


@pytest.mark.parametrize("name", ["", "a b", "../x", "ca", "x" * 65, "a/b", "ä"])
def test_a_name_that_is_none_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a valid name"):
        authority.make_client(folder, name)


@pytest.mark.parametrize("host", ["", "a b", "http://x", "-x", "x_y"])
def test_a_host_that_is_none_is_refused(folder: Path, host: str) -> None:
    with pytest.raises(InputError, match="not a host"):
        authority.make_server(folder, "new", [host])


@given(st.binary(max_size=300))
def test_any_bytes_are_certificates_or_one_input_error(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.crt"
    file.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + text + b"\n-----END CERTIFICATE-----\n")

    with pytest.raises(InputError):
        authority.describe(file)
