"""The certificate of the LAN listener: self-signed, made once, its fingerprint pinned by hand.

There is no authority inside a pharmacy to ask, so trust is the SHA-256 fingerprint that `pair`
prints and the terminal's installer compares.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from retention.durable import write_durably
from retention.records.clock import Clock
from retention.records.errors import UsageError

VALID_FOR = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the certificate and its key lie, and what a terminal pins."""

    certificate: Path
    key: Path
    fingerprint: str


def ensure_certificate(folder: Path, host: str, clock: Clock) -> Listener:
    """Return the listener's certificate for `host`, made when there is none for it yet."""
    certificate, key = folder / "terminal.crt", folder / "terminal.key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (certificate.exists() and key.exists() and _names(certificate, host)):
            _make(certificate, key, host, clock)
        return Listener(certificate, key, fingerprint_of(certificate))
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


def _make(certificate: Path, key: Path, host: str, clock: Clock) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Countersight terminal")])
    now = clock.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID_FOR)
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
