"""What a server may be asked, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from suraksha.errors import UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIN_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server. What is beyond them is refused before it is worked on.

    Args:
        upload_mb: Greatest body of a request, in MiB.
        pixels: Most pixels of one image or frame.
        files: Most images of one request.
        frames: Most frames that one request may ask for.
        requests: Requests that are taken at once; others are asked to come again (429).
        workers: Requests that are worked on at once; the others taken wait.
        seconds: Longest time for sending a request, and again for answering it.

    Raises:
        UsageError: A bound below 1.
    """

    upload_mb: int = 128
    pixels: int = 16_000_000
    files: int = 16
    frames: int = 64
    requests: int = 8
    workers: int = 2
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("upload_mb", "pixels", "files", "frames", "requests", "workers", "seconds"):
            value = getattr(self, name)
            if not value >= 1:
                raise UsageError(
                    f"{name} = {value} cannot be used", "it is below 1", "Give 1 or more"
                )

    @property
    def upload_bytes(self) -> int:
        """Greatest body of a request, in bytes."""
        return self.upload_mb << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is set up.

    Args:
        limits: Its bounds.
        token: What a caller must show; None where none is asked for.
        hosts: Names under which it is called, besides those of the loopback.
        keep: Folder in which images and results are kept; None to keep nothing.

    Raises:
        UsageError: A token that can be guessed.
    """

    limits: Limits = field(default_factory=Limits)
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    keep: Path | None = None

    def __post_init__(self) -> None:
        if self.token is not None and (len(self.token) < MIN_TOKEN or not self.token.isascii()):
            raise UsageError(
                "the token cannot be used",
                f"it must have {MIN_TOKEN} characters or more, of ASCII alone",
                "Make one with: openssl rand -hex 24",
            )
