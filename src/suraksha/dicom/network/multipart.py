"""The one part of a multipart/related answer, onto the disk without being held in memory."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from pathlib import Path

from suraksha.errors import InputError

MAX_HEAD = 1 << 14


def save_part(chunks: Iterable[bytes], content_type: str, *, path: Path, limit: int) -> None:
    """Write the body of the first part to a file.

    Args:
        chunks: The answer as it arrives.
        content_type: Its header, which names the boundary.
        path: The file.
        limit: Bytes above which it is refused.

    Raises:
        InputError: An answer of another form, one that ends early, or one that is too long.
    """
    boundary = _boundary(content_type)
    if boundary is None:
        raise _refusal("the answer is not of several parts")
    end, tail, started = b"\r\n--" + boundary, b"\r\n", False
    written = 0
    with path.open("wb") as file:
        for chunk in chunks:
            tail += chunk
            if not started:
                head = tail.find(end)
                body = tail.find(b"\r\n\r\n", max(head, 0))
                if head < 0 or body < 0:
                    if len(tail) > MAX_HEAD:
                        raise _refusal("the answer has no part")
                    continue
                tail, started = tail[body + 4 :], True
            stop = tail.find(end)
            ready = tail[:stop] if stop >= 0 else tail[: max(0, len(tail) - len(end))]
            written += len(ready)
            if written > limit:
                raise _refusal(f"it is larger than {limit >> 20} MiB")
            file.write(ready)
            if stop >= 0:
                return
            tail = tail[len(ready) :]
    raise _refusal("the answer ends early")


def _boundary(content_type: str) -> bytes | None:
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not found:
        return None
    return found.encode("latin-1", "replace")


def _refusal(why: str) -> InputError:
    return InputError("an image cannot be fetched", why, "Look at the archive's log")
