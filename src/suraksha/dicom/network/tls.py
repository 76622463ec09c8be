"""Encrypted associations (PS3.15 B.9: TLS 1.2 or later), mutual where a CA is given."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from suraksha.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of TLS.

    Args:
        certificate: Our own, PEM; may hold the chain.
        key: Its private key, PEM, without a passphrase.
        authority: PEM of the CAs that the other end's certificate must come from.

    Raises:
        UsageError: A certificate without a key, or the other way round.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError(
                "TLS cannot be set up",
                "a certificate and its key go together",
                "Give both --tls-cert and --tls-key",
            )

    def server(self) -> ssl.SSLContext | None:
        """For taking associations: None without a certificate; with a CA peers must show one.

        Raises:
            UsageError: A CA without a certificate, or files that cannot be used.
        """
        if self.certificate is None:
            if self.authority is not None:
                raise UsageError(
                    "a node cannot take TLS with a CA alone",
                    "it needs a certificate of its own",
                    "Give --tls-cert and --tls-key too",
                )
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return self._loaded(context)

    def client(self) -> ssl.SSLContext | None:
        """For asking for associations: None without a CA, as then nobody could be trusted.

        Raises:
            UsageError: A certificate without a CA, or files that cannot be used.
        """
        if self.authority is None:
            if self.certificate is not None:
                raise UsageError(
                    "TLS cannot be asked for",
                    "without a CA anyone could answer in the peer's place",
                    "Give --tls-ca too",
                )
            return None
        return self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.authority is not None:
                context.load_verify_locations(self.authority)
            if self.certificate is not None:
                # a passphrase would be asked for on the terminal; an empty one fails instead
                context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            raise UsageError(
                "TLS cannot be set up",
                f"a certificate or key cannot be used ({type(error).__name__})",
                "Give readable PEM files, the key without a passphrase",
            ) from error
        return context
