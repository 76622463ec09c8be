"""Images and results that a server was asked to keep (``--keep DIR``), one folder a request."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suraksha.files import write_bytes, write_text
from suraksha.web.errors import HttpError
from suraksha.web.schemas import KEPT


class Archive:
    """Keeps what it is given; does nothing without a folder.

    Args:
        folder: Where, or None.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def keeps(self) -> bool:
        """Whether it has a folder."""
        return self._folder is not None

    def result(self, images: Sequence[Path], answer: dict[str, Any]) -> str | None:
        """Keep the images of a request and its answer; the id, or None where nothing is kept."""
        if self._folder is None:
            return None
        number = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
        place = self._folder / number
        self._folder.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700)  # images of patients: for this user's eyes
        for image in images:
            write_bytes(place / image.name, image.read_bytes())
        write_text(place / "result.json", json.dumps(answer, indent=2) + "\n")
        return number

    def correction(self, number: str, content: bytes, *, frame: int) -> None:
        """Put a correction beside the result that it corrects; an earlier one is replaced.

        Raises:
            Refused: Nothing is kept under that id.
        """
        place = None if self._folder is None else self._folder / number
        if place is None or not re.fullmatch(KEPT, number) or not place.is_dir():
            raise HttpError(
                404, "nothing is kept under that id", "it was not kept here", "Leave 'kept' out"
            )
        write_bytes(place / f"correction-{frame}.json", content)
