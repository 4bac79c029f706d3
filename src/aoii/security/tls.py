"""TLS towards broker and database: whom we believe, what we show, and why it failed, in words for whoever must act.

Nothing older than TLS 1.2, and no peer whose certificate is not verified, by authority and by name: no setting switches
that off. Files are read at every call, so that a renewed certificate is used from the next connection on.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aoii.core.errors import InputError

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True)
class Tls:
    """An encrypted connection to a verified peer.

    Attributes:
        ca: Certificate of the authority that signs the peer's; None: those that this machine trusts.
        cert, key: What we show ourselves, both or neither.
        name: How the settings begin, such as `MQTT_TLS`, for messages.
    """

    ca: Path | None
    cert: Path | None
    key: Path | None
    name: str


# What OpenSSL 1.1 to 3.5 say, and what it means. An *alert* is the peer's word about us, anything else ours about it.
_MEANINGS = (
    ("alert certificate expired", "{peer} says that our certificate has expired", "renew {name}_CERT and {name}_KEY"),
    ("alert unknown ca", "{peer} does not know the authority of our certificate", "have its own sign {name}_CERT"),
    ("alert bad certificate", "{peer} refuses our certificate", "have its own authority sign {name}_CERT"),
    ("certificate required", "{peer} asks for a certificate of ours", "set {name}_CERT and {name}_KEY"),
    ("alert certificate", "{peer} refuses our certificate", "have its own authority sign {name}_CERT"),
    ("alert unsupported certificate", "{peer} refuses our certificate", "make {name}_CERT one for clients"),
    ("alert handshake failure", "{peer} broke the TLS handshake off", "it may ask for {name}_CERT and {name}_KEY"),
    ("alert protocol version", "{peer} has no TLS 1.2 or newer", "bring it up to date"),
    ("unsupported protocol", "{peer} has no TLS 1.2 or newer", "bring it up to date"),
    ("certificate has expired", "the certificate of {peer} has expired", "renew it there"),
    ("not yet valid", "the certificate of {peer} is not valid yet", "compare the clocks of both machines"),
    ("mismatch, certificate", "the certificate of {peer} is for another name", "use a name that it holds, or renew it"),
    ("unable to get", "the certificate of {peer} comes from an unknown authority", "name that one in {name}_CA"),
    ("self-signed", "the certificate of {peer} comes from an unknown authority", "name that one in {name}_CA"),
    ("self signed", "the certificate of {peer} comes from an unknown authority", "name that one in {name}_CA"),
    ("certificate verify failed", "the certificate of {peer} is not good", "see {name}_CA ({words})"),
    ("SSL is required", "{peer} does not speak TLS", "switch TLS on there, or remove {name}_CA"),
    ("wrong version number", "{peer} does not speak TLS on that port", "correct the port, or remove {name}_CA"),
    ("record layer failure", "{peer} does not speak TLS on that port", "correct the port, or remove {name}_CA"),
)


def context(tls: Tls) -> ssl.SSLContext:
    """What a connection needs.

    Raises:
        InputError: One of the files holds something else; the message names its setting.
    """
    try:
        made = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    except (ssl.SSLError, OSError) as error:
        raise InputError(f"{tls.name}_CA: {tls.ca} holds no certificate ({_said(error)})", "name a PEM file") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert is not None and tls.key is not None:
        load_pair(made, tls.cert, tls.key, f"{tls.name}_CERT")
    return made


def load_pair(into: ssl.SSLContext, cert: Path, key: Path, name: str) -> None:
    """Have `into` show this certificate; `name` is the setting that named it.

    Raises:
        InputError: It cannot be read, is none, or the key is another's.
    """
    try:
        into.load_cert_chain(cert, key, password="")  # a key with one is refused, not asked about
    except (ssl.SSLError, OSError, ValueError) as error:
        raise InputError(
            f"{name}: {cert} and {key} are no certificate and its key ({_said(error)})",
            "name two PEM files that belong together, the key without a password",
        ) from error


def explained(words: str, peer: str, tls: Tls) -> InputError | None:
    """What the library's `words` about a failed handshake mean, as an error; None if they are about something else.

    Args:
        words: The text of its error.
        peer: Whom we wanted to reach.
        tls: The settings in force.
    """
    for part, problem, remedy in _MEANINGS:
        if part.lower() in words.lower():
            return InputError(problem.format(peer=peer), remedy.format(name=tls.name, words=words))
    return None


def expires(cert: Path) -> datetime:
    """When the first certificate in a PEM file ends, UTC.

    Raises:
        InputError: The file cannot be read or holds none.
    """
    return _read(cert).not_valid_after_utc


def common_name(cert: Path) -> str | None:
    """The common name in a PEM file's first certificate, which is our user name at the broker; None without one.

    Raises:
        InputError: The file cannot be read or holds none.
    """
    from cryptography.x509.oid import NameOID

    names = _read(cert).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else None


def expires_of_peer(connection: object) -> datetime | None:
    """When the certificate that a peer showed ends, UTC; None without TLS."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    shown = connection.getpeercert() or {}
    until = shown.get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC) if isinstance(until, str) else None


def _read(cert: Path) -> "x509.Certificate":
    from cryptography import x509  # half a second, which a station without certificates need not spend

    try:
        return x509.load_pem_x509_certificate(cert.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{cert}: no certificate can be read ({_said(error)})", "name a PEM file") from error


def _said(error: Exception) -> str:
    """The library's reason without its file and line."""
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
