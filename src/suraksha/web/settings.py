"""Configuration of a server and the limits of its requests."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from suraksha.errors import UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIN_TOKEN = 16


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of requests. Requests over a limit are rejected before they are processed.

    Args:
        max_upload_mb: Maximum size of a request body, in MiB.
        max_pixels: Maximum number of pixels of an image or frame.
        max_files: Maximum number of files per request.
        max_frames: Maximum number of frames per request.
        max_requests: Maximum number of concurrent requests; others get 429.
        workers: Number of requests that are processed at the same time; the others wait.
        timeout_s: Maximum time for an upload, and again for its processing, in seconds.

    Raises:
        UsageError: A limit is below 1.
    """

    max_upload_mb: int = 128
    max_pixels: int = 16_000_000
    max_files: int = 16
    max_frames: int = 64
    max_requests: int = 8
    workers: int = 2
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not value >= 1:
                raise UsageError(
                    f"{limit.name} = {value} is invalid", "the minimum is 1", "Increase it"
                )

    @property
    def max_upload_bytes(self) -> int:
        """Maximum size of a request body, in bytes."""
        return self.max_upload_mb << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """Configuration of a server.

    Args:
        limits: Limits of requests.
        token: Access token that clients must send; None for no authentication.
        allowed_hosts: Values of the Host header that are accepted besides those of the loopback.
        keep: Folder in which images and results are stored; None to store nothing.

    Raises:
        UsageError: The token is too short or not ASCII.
    """

    limits: RequestLimits = field(default_factory=RequestLimits)
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    keep: Path | None = None

    def __post_init__(self) -> None:
        if self.token is not None and (len(self.token) < MIN_TOKEN or not self.token.isascii()):
            raise UsageError(
                "the token is invalid",
                f"it must have at least {MIN_TOKEN} ASCII characters",
                "Create one with: openssl rand -hex 24",
            )
