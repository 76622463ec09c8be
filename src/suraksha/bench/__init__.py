"""Plans of many runs: trained, scored and reported by one command."""

import sys
from types import ModuleType
from typing import Any

from suraksha.errors import MissingExtraError


class _Room(ModuleType):
    """``suraksha.bench`` is this room and the public function: the room can be called."""

    @property
    def __call__(self) -> Any:  # noqa: ANN401 - the function of `suraksha.bench.run`
        try:
            from suraksha.bench.run import bench
        except ModuleNotFoundError as error:
            raise MissingExtraError("suraksha.bench", "train", str(error.name)) from error
        return bench


sys.modules[__name__].__class__ = _Room
