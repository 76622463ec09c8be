"""From a network in 32-bit floats to one in 8-bit integers, and what that costs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.core import Image
from suraksha.data.samples import Sample
from suraksha.errors import TrainError
from suraksha.imaging.prepare import Preparation, prepare
from suraksha.runtime.bundle import Bundle
from suraksha.runtime.card import Card
from suraksha.runtime.engines import create_engine
from suraksha.runtime.segmenter import Segmenter
from suraksha.train.evaluate import Tell

# most that the mean Dice of the validation part may fall by
MOST_LOST = 0.005
# pictures that the ranges of the activations are taken from
CALIBRATED_ON = 100


def quantise(model: bytes, pictures: Sequence[Image], *, preparation: Preparation) -> bytes:
    """The network with 8-bit weights and activations.

    Static, by ONNX Runtime's own tool: weights by channel, activations unsigned with the least and
    greatest value that the pictures give; QDQ, so that every engine can run it.

    Args:
        model: An ONNX file in 32-bit floats.
        pictures: Training pictures; at most 100 of them, evenly spread, are run.
        preparation: How a picture becomes the network's input.

    Raises:
        TrainError: No pictures.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not pictures:
        raise TrainError(
            "the network cannot be brought to 8 bits",
            "there are no training pictures to take its ranges from",
            "Give the data set that it was trained on",
        )
    chosen = pictures[:: -(-len(pictures) // CALIBRATED_ON)]
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            given, ready, made = (Path(folder) / name for name in ("a.onnx", "b.onnx", "c.onnx"))
            given.write_bytes(model)
            quant_pre_process(str(given), str(ready), skip_symbolic_shape=True)
            quantize_static(
                str(ready),
                str(made),
                _reader(_batches(chosen, preparation)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return made.read_bytes()
    finally:
        logging.root.setLevel(level)


def _batches(
    pictures: Sequence[Image], preparation: Preparation
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for picture in pictures:
        yield {"picture": prepare(picture, preparation)}


def _reader(batches: Iterator[dict[str, NDArray[np.float32]]]) -> Any:  # noqa: ANN401
    """What ONNX Runtime takes its calibration pictures from."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(batches, None)

    return Reader()


def teller_of(card: Card, model: bytes) -> Tell:
    """What a bundle of this card and network would tell, at the card's temperature."""
    return Segmenter(Bundle(card, model, ""), create_engine("onnxruntime", model)).tell


def check_cost(
    card: Card, *, whole: Tell, small: Tell, pictures: Sequence[Sample]
) -> dict[str, Any]:
    """Compare the two networks on pictures that the training did not see.

    Args:
        card: Threshold and presence rule.
        whole: The network in 32-bit floats.
        small: The network in 8 bits.
        pictures: The validation part.

    Returns:
        For the card: number of lesion pictures, mean Dice of both.

    Raises:
        TrainError: No lesion picture, or a mean Dice that falls by more than 0.005.
    """
    lesions = [sample for sample in pictures if sample.truth.any()]
    if not lesions:
        raise TrainError(
            "the network cannot be brought to 8 bits",
            "there is no validation part, so what it costs cannot be measured",
            "Train with validation_share above 0",
        )
    before, after = (
        float(np.mean([_dice(card, tell, sample) for sample in lesions])) for tell in (whole, small)
    )
    if before - after > MOST_LOST:
        raise TrainError(
            f"in 8 bits the mean Dice falls from {before:.4f} to {after:.4f}",
            f"at most {MOST_LOST} may be lost on the {len(lesions)} validation pictures",
            "Nothing was written. Export without --int8",
        )
    return {
        "weights": "8-bit integers by channel",
        "activations": "8-bit unsigned integers",
        "pictures": len(lesions),
        "dice_float32": before,
        "dice_int8": after,
    }


def _dice(card: Card, tell: Tell, sample: Sample) -> float:
    mask = tell(sample.image).mask(card.threshold, card.presence)
    return 2 * float((mask & sample.truth).sum()) / float(mask.sum() + sample.truth.sum())
