"""The certificate of the LAN listener: self-signed, made once, its fingerprint pinned by hand.

There is no authority inside a pharmacy to ask, so trust is the SHA-256 fingerprint that `pair`
prints and the terminal's installer compares. Nothing renews a pinned certificate, and a node may be
set up while its clock is wrong, so it has no end that could be met (RFC 5280, 4.1.2.5) and no
date is taken from the clock.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from retention.durable import write_durably
from retention.records.errors import UsageError

NOT_BEFORE = datetime(2025, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the certificate and its key lie, and what a terminal pins."""

    certificate: Path
    key: Path
    fingerprint: str


def ensure_certificate(folder: Path, host: str) -> Listener:
    """Return the listener's certificate for `host`, made when there is none for it yet.

    Raises UsageError when the folder cannot be used, or what is in it is damaged.
    """
    certificate, key = folder / "terminal.crt", folder / "terminal.key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (certificate.exists() and key.exists() and _names(certificate, host)):
            _make(certificate, key, host)
        listener = Listener(certificate, key, fingerprint_of(certificate))
        server_context(listener)
        return listener
    except (ValueError, ssl.SSLError) as exc:
        raise UsageError(
            f"{folder}: terminal.crt or terminal.key is damaged, or they are not a pair; remove "
            "both to have new ones made, then compare the new fingerprint at every terminal"
        ) from exc
    except OSError as exc:
        raise UsageError(f"{folder}: {exc.strerror}") from exc


def fingerprint_of(certificate: Path) -> str:
    """Return the SHA-256 of the certificate, as colon-separated pairs of digits."""
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.fingerprint(SHA256()).hex(":").upper()


def server_context(listener: Listener) -> ssl.SSLContext:
    """Return what the LAN listener speaks: TLS 1.2 or newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(listener.certificate, listener.key)
    return context


def _names(certificate: Path, host: str) -> bool:
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return _general_name(host) in list(names)


def _make(certificate: Path, key: Path, host: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Countersight terminal")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, SHA256())
    )
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_durably(key, secret, mode=0o600)
    write_durably(certificate, made.public_bytes(Encoding.PEM))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
