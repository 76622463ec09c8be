"""Storage of images and results on the server (``--keep DIR``), one folder per request."""

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
from suraksha.web.schemas import KEPT_ID


class Archive:
    """Stores requests and their results; does nothing without a folder.

    Args:
        folder: Where they are stored, or None.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def enabled(self) -> bool:
        """Whether results are stored."""
        return self._folder is not None

    def save_result(self, images: Sequence[Path], response: dict[str, Any]) -> str | None:
        """Store the images of a request and the response.

        Returns:
            The id of the stored result, or None if nothing is stored.
        """
        if self._folder is None:
            return None
        kept_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
        place = self._folder / kept_id
        self._folder.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700)  # patients' images: readable by this user only
        for image in images:
            write_bytes(place / image.name, image.read_bytes())
        write_text(place / "result.json", json.dumps(response, indent=2) + "\n")
        return kept_id

    def save_correction(self, kept_id: str, content: bytes, *, frame: int) -> None:
        """Store a correction with the result that it corrects, replacing an earlier one.

        Raises:
            HttpError: 404, no result is stored under that id.
        """
        place = None if self._folder is None else self._folder / kept_id
        if place is None or not re.fullmatch(KEPT_ID, kept_id) or not place.is_dir():
            raise HttpError(
                404,
                "no stored result has this id",
                why="the result was not stored on this server",
                fix="Omit 'kept'",
            )
        write_bytes(place / f"correction-{frame}.json", content)
