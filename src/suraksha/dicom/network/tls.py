"""TLS for associations (PS3.15 B.9: TLS 1.2 or later), mutual if a CA is given."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from suraksha.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tls:
    """The files for TLS.

    Args:
        certificate: Own certificate, PEM; may contain the chain.
        key: Its private key, PEM, without a passphrase.
        ca: PEM of the CAs that must have signed the peer's certificate.

    Raises:
        UsageError: A certificate without its key, or a key without its certificate.
    """

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError(
                "TLS cannot be configured",
                "a certificate needs its private key",
                "Give both --tls-cert and --tls-key",
            )

    def server(self) -> ssl.SSLContext | None:
        """The context of a server: None without a certificate; with a CA it checks clients.

        Raises:
            UsageError: A CA without a certificate, or unusable files.
        """
        if self.certificate is None:
            if self.ca is not None:
                raise UsageError(
                    "TLS cannot be configured with a CA alone",
                    "a TLS server needs a certificate and key",
                    "Give --tls-cert and --tls-key too",
                )
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return self._load(context)

    def client(self) -> ssl.SSLContext | None:
        """The context of a client: None without a CA, as servers could not be verified.

        Raises:
            UsageError: A certificate without a CA, or unusable files.
        """
        if self.ca is None:
            if self.certificate is not None:
                raise UsageError(
                    "TLS to the peer cannot be configured",
                    "without a CA the identity of the peer cannot be verified",
                    "Give --tls-ca too",
                )
            return None
        return self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            if self.certificate is not None:
                # OpenSSL would prompt for a passphrase on the terminal; an empty one fails instead
                context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            raise UsageError(
                "TLS cannot be configured",
                f"a certificate or key cannot be loaded ({type(error).__name__})",
                "Give readable PEM files, the key without a passphrase",
            ) from error
        return context
