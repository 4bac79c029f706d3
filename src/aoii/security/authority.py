"""A small certificate authority (CA), behind `aoii certs`: it issues certificates for servers and for stations.

It is meant for a laboratory, a test, or a few machines that one person administers. It keeps no list of what it signed,
revokes nothing, and never overwrites a file: to replace a lost key, move the old files away or use another folder.
Host only.
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aoii.core.errors import InputError
from aoii.security import private_file

AUTHORITY = "ca"  # its files: ca.crt and ca.key
AUTHORITY_DAYS = 3650  # ten years: a new CA means new certificates for all
DAYS = 730  # two years, because stations are hard to reach; an alert fires 21 days before the end
BACKDATED = timedelta(hours=1)  # the clock of the other machine may be behind

NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)  # the rule of GATEWAY_ID; 64 is also the limit of a common name
HOST = re.compile(r"(\*\.)?[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?", re.ASCII)

PURPOSES = {ExtendedKeyUsageOID.SERVER_AUTH: "server", ExtendedKeyUsageOID.CLIENT_AUTH: "client"}

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True)
class Issued:
    """A new certificate and its key, as files."""

    certificate: Path
    key: Path
    expires: datetime


@dataclass(frozen=True)
class Description:
    """The content of a certificate.

    Attributes:
        subject: Whose it is, as a distinguished name such as `CN=attic`.
        issuer: Who signed it, in the same form.
        hosts: Names and addresses that it is valid for.
        purposes: Any of `server`, `client` and `authority`; any other purpose as its OID.
        begins: From when it is valid, UTC.
        expires: Until when it is valid, UTC.
        fingerprint: SHA-256, hexadecimal with colons.
    """

    subject: str
    issuer: str
    hosts: tuple[str, ...]
    purposes: tuple[str, ...]
    begins: datetime
    expires: datetime
    fingerprint: str


def make_authority(folder: Path, days: int = AUTHORITY_DAYS, now: datetime | None = None) -> Issued:
    """Make a new CA: `ca.crt`, for every machine, and `ca.key`, which stays here.

    Raises:
        InputError: `folder` has a CA already, or cannot be written.
    """
    return _write(folder, AUTHORITY, *_certify("aoii authority", None, [], days, now))


def make_server(folder: Path, name: str, hosts: Iterable[str], days: int = DAYS, now: datetime | None = None) -> Issued:
    """Make the certificate of a broker, a database or a web page.

    Args:
        folder: Where the CA is, and where the files go.
        name: Name of the files, and common name.
        hosts: Names and addresses of the server.
        days: How long it is valid.
        now: Beginning of its validity; None: now.

    Raises:
        InputError: As for `make_client`; also when a host is not valid or there is none.
    """
    names: list[x509.GeneralName] = []
    for host in hosts:
        with contextlib.suppress(ValueError):
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
            continue
        if not HOST.fullmatch(host):
            raise InputError(f"{host} is not a host", "give names such as broker.example or addresses such as 10.0.0.5")
        names.append(x509.DNSName(host))
    if not names:
        raise InputError(f"{name} has no host", "give the names and addresses that clients use for it")
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return _issue(folder, name, [purpose, x509.SubjectAlternativeName(names)], days, now)


def make_client(folder: Path, name: str, days: int = DAYS, now: datetime | None = None) -> Issued:
    """Make the certificate of a station; `name` is its user name at the broker, for a gateway its GATEWAY_ID.

    Raises:
        InputError: `name` is not valid, the files exist already, `folder` has no CA, or it cannot be written.
    """
    return _issue(folder, name, [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])], days, now)


def describe(file: Path) -> list[Description]:
    """The content of each certificate in a PEM file.

    Raises:
        InputError: The file cannot be read or has no certificate.
    """
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: has no readable certificate ({error})", "give a PEM file") from error
    return [_description(certificate) for certificate in found]


def _description(certificate: x509.Certificate) -> Description:
    hosts: list[str] = []
    purposes: list[str] = []
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            hosts = [str(name.value) for name in value]
        elif isinstance(value, x509.ExtendedKeyUsage):
            purposes += [PURPOSES.get(oid, oid.dotted_string) for oid in value]
        elif isinstance(value, x509.BasicConstraints) and value.ca:
            purposes.append("authority")
    return Description(
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        tuple(hosts),
        tuple(purposes),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.fingerprint(hashes.SHA256()).hex(":"),
    )


def _issue(folder: Path, name: str, extensions: list[x509.ExtensionType], days: int, now: datetime | None) -> Issued:
    """Make a certificate that the CA in `folder` signs, and write its files."""
    if not NAME.fullmatch(name) or name == AUTHORITY:
        raise InputError(f"{name!r} is not a valid name", "use 1 to 64 letters, digits or any of . - _, but not `ca`")
    return _write(folder, name, *_certify(name, _open_ca(folder), extensions, days, now))


def _certify(name: str, ca: Pair | None, extensions: list[x509.ExtensionType], days: int, now: datetime | None) -> Pair:
    """A certificate and its new key. `ca` signs it; without `ca` it is that of a new CA, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_ca = ca is None
    issuer, signer = (subject, key) if ca is None else (ca[0].subject, ca[1])
    begins = (now or datetime.now(UTC)) - BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + BACKDATED + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(_usage(is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not is_ca:
        extensions = [*extensions, x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())]
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256()), key


def _usage(is_ca: bool) -> x509.KeyUsage:
    """What the key may be used for: a CA signs certificates, everyone else signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _open_ca(folder: Path) -> Pair:
    """The certificate and the key of the CA in `folder`.

    Raises:
        InputError: It is missing or not usable, or other users may read its key.
    """
    certificate, key = folder / f"{AUTHORITY}.crt", folder / f"{AUTHORITY}.key"
    try:
        mode = key.stat().st_mode & 0o777
        if mode & 0o077:
            raise InputError(f"{key}: other users may read the key of the CA (mode {mode:03o})", f"run chmod 600 {key}")
        found = serialization.load_pem_private_key(key.read_bytes(), None)
        signer = x509.load_pem_x509_certificate(certificate.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{folder}: has no CA", "make one with `aoii certs ca`") from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder}: the CA cannot be read ({error})", "restore ca.crt and ca.key") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or found.public_key() != signer.public_key():
        raise InputError(f"{folder}: ca.key is not the key of ca.crt", "restore the two that belong together")
    return signer, found


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    issued = Issued(folder / f"{name}.crt", folder / f"{name}.key", certificate.not_valid_after_utc)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for path in (issued.certificate, issued.key):
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} exists and is not overwritten", "move it away, or choose another name or folder")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_file.write(issued.key, private)
        private_file.write(issued.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})", "give a folder that you own") from error
    return issued
