"""Recipes, training, evaluation and export."""

import sys
from types import ModuleType
from typing import Any

from suraksha.errors import MissingExtraError
from suraksha.files import keep_matplotlib_out_of_home

keep_matplotlib_out_of_home()  # Lightning imports it


class _Room(ModuleType):
    """``suraksha.train`` is this room and the public function: the room can be called."""

    @property
    def __call__(self) -> Any:  # noqa: ANN401 - the function of `suraksha.train.fit`
        try:
            from suraksha.train.fit import train
        except ModuleNotFoundError as error:
            raise MissingExtraError("suraksha.train", "train", str(error.name)) from error
        return train


sys.modules[__name__].__class__ = _Room
