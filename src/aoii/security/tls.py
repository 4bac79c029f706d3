"""TLS to broker and database: verified connections, and why one failed, in words for whoever must act.

TLS 1.2 or newer. The certificate of the peer is always verified, by CA and by name; no setting switches that off. Files
are read at every call, so a renewed certificate is used from the next connection on.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aoii.core.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True)
class Tls:
    """An encrypted connection to a verified peer.

    Attributes:
        ca: CA certificate that verifies the peer; None: the CAs that this machine trusts.
        cert: Our own certificate; None: we show none.
        key: The key of `cert`; None without it.
        name: Prefix of the settings, such as `MQTT_TLS`, for messages.
    """

    ca: Path | None
    cert: Path | None
    key: Path | None
    name: str


# Parts of the messages of OpenSSL 1.1 to 3.5, each with problem and remedy; the first that fits counts. An *alert*
# comes from the peer, the rest from our own side.
_MEANINGS = (
    ("alert certificate expired", "{peer} says that our certificate has expired", "renew {name}_CERT and {name}_KEY"),
    ("alert unknown ca", "{peer} does not know the CA of our certificate", "use a {name}_CERT from the peer's own CA"),
    ("alert bad certificate", "{peer} refuses our certificate", "use a {name}_CERT from the peer's own CA"),
    ("certificate required", "{peer} requires a certificate from us", "set {name}_CERT and {name}_KEY"),
    ("alert certificate", "{peer} refuses our certificate", "use a {name}_CERT from the peer's own CA"),
    ("alert unsupported certificate", "{peer} refuses our certificate", "use a client certificate as {name}_CERT"),
    ("alert handshake failure", "{peer} ended the TLS handshake", "it may require {name}_CERT and {name}_KEY"),
    ("alert protocol version", "{peer} does not support TLS 1.2 or newer", "update it"),
    ("unsupported protocol", "{peer} does not support TLS 1.2 or newer", "update it"),
    ("certificate has expired", "the certificate of {peer} has expired", "renew it there"),
    ("not yet valid", "the certificate of {peer} is not valid yet", "compare the clocks of both machines"),
    ("mismatch, certificate", "the certificate of {peer} is for another name", "use a name that is in it, or renew it"),
    ("unable to get", "the certificate of {peer} comes from an unknown CA", "set {name}_CA to its certificate"),
    ("self-signed", "the certificate of {peer} comes from an unknown CA", "set {name}_CA to its certificate"),
    ("self signed", "the certificate of {peer} comes from an unknown CA", "set {name}_CA to its certificate"),
    ("certificate verify failed", "the certificate of {peer} is not valid ({words})", "check {name}_CA"),
    ("SSL is required", "{peer} does not speak TLS", "switch TLS on there, or remove {name}_CA"),
    ("wrong version number", "{peer} does not speak TLS on that port", "correct the port, or remove {name}_CA"),
    ("record layer failure", "{peer} does not speak TLS on that port", "correct the port, or remove {name}_CA"),
)


def context(tls: Tls) -> ssl.SSLContext:
    """The SSL context of a connection.

    Raises:
        InputError: A file cannot be used; the message names its setting.
    """
    try:
        made = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    except (ssl.SSLError, OSError) as error:
        raise InputError(f"{tls.name}_CA: {tls.ca} has no certificate ({_reason(error)})", "give a PEM file") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert is not None and tls.key is not None:
        load_pair(made, tls.cert, tls.key, f"{tls.name}_CERT")
    return made


def load_pair(into: ssl.SSLContext, cert: Path, key: Path, name: str) -> None:
    """Load our own certificate into a context; `name` is its setting.

    Raises:
        InputError: A file cannot be read or has no certificate or key, or the two do not belong together.
    """
    try:
        into.load_cert_chain(cert, key, password="")  # a key with a password is an error, not a prompt
    except (ssl.SSLError, OSError, ValueError) as error:
        raise InputError(
            f"{name}: {cert} and {key} are not a certificate and its key ({_reason(error)})",
            "give two PEM files that belong together, the key without a password",
        ) from error


def explain(words: str, peer: str, tls: Tls) -> UnavailableError | None:
    """What a failed TLS handshake means and what to do; None when the error has another cause.

    Args:
        words: The text of the library's error.
        peer: The host and port of the peer.
        tls: The settings in force.
    """
    for part, problem, remedy in _MEANINGS:
        if part.lower() in words.lower():
            return UnavailableError(problem.format(peer=peer, words=words), remedy.format(name=tls.name))
    return None


def expires(cert: Path) -> datetime:
    """When the first certificate in a PEM file expires, UTC.

    Raises:
        InputError: The file cannot be read or has no certificate.
    """
    return _first_certificate(cert).not_valid_after_utc


def common_name(cert: Path) -> str | None:
    """The common name in a PEM file's first certificate, which is our user name at the broker; None without one.

    Raises:
        InputError: The file cannot be read or has no certificate.
    """
    from cryptography.x509.oid import NameOID

    names = _first_certificate(cert).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else None


def expires_of_peer(connection: object) -> datetime | None:
    """When the certificate of the connected peer expires, UTC; None without TLS."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    shown = connection.getpeercert() or {}
    until = shown.get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC) if isinstance(until, str) else None


def _first_certificate(cert: Path) -> "x509.Certificate":
    from cryptography import x509  # takes half a second, which a station without certificates need not spend

    try:
        return x509.load_pem_x509_certificate(cert.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{cert}: has no readable certificate ({_reason(error)})", "give a PEM file") from error


def _reason(error: Exception) -> str:
    """The library's reason without its file and line."""
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
