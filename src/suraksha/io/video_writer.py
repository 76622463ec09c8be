"""Write a video frame by frame with OpenCV, the extra ``[video]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from suraksha.errors import InputError, UsageError
from suraksha.io.video import opencv

CODEC = {".mp4": "mp4v", ".avi": "MJPG"}


class VideoWriter:
    """Writes frames to a video file; a context manager. The first frame defines the size.

    Args:
        path: An .mp4 or .avi file.
        fps: Frames per second.

    Raises:
        UsageError: The file name has another suffix.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in CODEC:
            raise UsageError(
                f"{path} cannot be written", "a video is .mp4 or .avi", "Use one of these suffixes"
            )
        self.path, self.fps = path, fps
        self._cv2, self._shape = opencv(), (0, 0)
        self._writer: Any = None

    def write(self, pixels: NDArray[np.uint8], *, times: int = 1) -> None:
        """Write a frame.

        A frame of another size is scaled to fit into the first, with black borders.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            times: How often the frame is repeated.

        Raises:
            InputError: OpenCV cannot write the file.
        """
        if self._writer is None:
            self._shape = (pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code = self._cv2.VideoWriter.fourcc(*CODEC[self.path.suffix.lower()])
            size = (self._shape[1], self._shape[0])
            self._writer = self._cv2.VideoWriter(str(self.path), code, self.fps, size)
            if not self._writer.isOpened():
                raise InputError(
                    f"{self.path} cannot be written",
                    "OpenCV cannot open it",
                    "Choose another file or folder",
                )
        shown = np.ascontiguousarray(_fitted(pixels, self._shape)[..., ::-1])
        for _ in range(times):
            self._writer.write(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()


def _fitted(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    if pixels.shape[:2] == shape:
        return pixels
    scale = min(shape[0] / pixels.shape[0], shape[1] / pixels.shape[1])
    rows, cols = (max(1, round(side * scale)) for side in pixels.shape[:2])
    resized = np.asarray(PilImage.fromarray(pixels).resize((cols, rows)))
    canvas = np.zeros((*shape, 3), np.uint8)
    top, left = (shape[0] - rows) // 2, (shape[1] - cols) // 2
    canvas[top : top + rows, left : left + cols] = resized
    return canvas
