"""Runs in: the tests. A certificate authority that lives for one test, for providers that are reached over https."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """A CA and one certificate by it for 127.0.0.1 and localhost (or for *names*)."""

    folder: Path
    names: tuple[str, ...] = ("127.0.0.1", "localhost")
    days: int = 1
    """How long the certificate is still good; negative for one that is over."""
    begins: int = -1
    """The day on which it begins to be good; 1 is tomorrow."""

    @property
    def ca_file(self) -> Path:
        """What a client has to trust (``ca_bundle``)."""
        return self.folder / "ca.pem"

    def server_context(self) -> ssl.SSLContext:
        """Make both certificates, and the context of a server that shows them."""
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        whole = (-30, 30)
        ca = self._certificate(ca_name, ca_key, ca_name, ca_key, x509.BasicConstraints(ca=True, path_length=0), whole)
        alternatives = x509.SubjectAlternativeName([self._name(name) for name in self.names])
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.names[0])])
        leaf = self._certificate(name, key, ca_name, ca_key, alternatives, (min(self.begins, self.days - 1), self.days))
        pem = serialization.Encoding.PEM
        self.ca_file.write_bytes(ca.public_bytes(pem))
        chain = self.folder / "server.pem"
        chain.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + leaf.public_bytes(pem)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    @staticmethod
    def _name(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    @staticmethod
    def _certificate(
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        days: tuple[int, int],
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        begin, end = (now + dt.timedelta(days=day) for day in days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
