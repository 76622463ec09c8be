"""From a network in 32-bit floats to one in 8-bit integers, and what that costs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.samples import Sample
from suraksha.errors import TrainError
from suraksha.evaluation.evaluate import Predict
from suraksha.inference.bundle import Bundle
from suraksha.inference.card import Card
from suraksha.inference.engines import create_engine
from suraksha.inference.postprocessing import lesion_mask
from suraksha.inference.segmenter import Segmenter
from suraksha.preprocessing import Preparation, prepare
from suraksha.types import Image

# most that the mean Dice of the validation part may fall by
MAX_DICE_LOSS = 0.005
# images that the ranges of the activations are taken from
CALIBRATED_ON = 100


def quantise(model: bytes, images: Sequence[Image], *, preparation: Preparation) -> bytes:
    """The network with 8-bit weights and activations.

    Static, by ONNX Runtime's own tool: weights by channel, activations unsigned with the least and
    greatest value that the images give; QDQ, so that every engine can run it.

    Args:
        model: An ONNX file in 32-bit floats.
        images: Training images; at most 100 of them, evenly spread, are run.
        preparation: How an image becomes the network's input.

    Raises:
        TrainError: No images.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not images:
        raise TrainError(
            "the network cannot be brought to 8 bits",
            "there are no training images to take its ranges from",
            "Give the data set that it was trained on",
        )
    chosen = images[:: -(-len(images) // CALIBRATED_ON)]
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
    images: Sequence[Image], preparation: Preparation
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for image in images:
        yield {"image": prepare(image, preparation)}


def _reader(batches: Iterator[dict[str, NDArray[np.float32]]]) -> Any:  # noqa: ANN401
    """What ONNX Runtime takes its calibration images from."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(batches, None)

    return Reader()


def predictor_of(card: Card, model: bytes) -> Predict:
    """What a bundle of this card and network would tell, at the card's temperature."""
    return Segmenter(Bundle(card, model, ""), create_engine("onnxruntime", model)).predict


def check_cost(
    card: Card, *, whole: Predict, small: Predict, images: Sequence[Sample]
) -> dict[str, Any]:
    """Compare the two networks on images that the training did not see.

    Args:
        card: Threshold and presence rule.
        whole: The network in 32-bit floats.
        small: The network in 8 bits.
        images: The validation part.

    Returns:
        For the card: number of lesion images, mean Dice of both.

    Raises:
        TrainError: No lesion image, or a mean Dice that falls by more than 0.005.
    """
    lesions = [sample for sample in images if sample.truth.any()]
    if not lesions:
        raise TrainError(
            "the network cannot be brought to 8 bits",
            "there is no validation part, so what it costs cannot be measured",
            "Train with validation_fraction above 0",
        )
    before, after = (
        float(np.mean([_dice(card, predict, sample) for sample in lesions]))
        for predict in (whole, small)
    )
    if before - after > MAX_DICE_LOSS:
        raise TrainError(
            f"in 8 bits the mean Dice falls from {before:.4f} to {after:.4f}",
            f"at most {MAX_DICE_LOSS} may be lost on the {len(lesions)} validation images",
            "Nothing was written. Export without --int8",
        )
    return {
        "weights": "8-bit integers by channel",
        "activations": "8-bit unsigned integers",
        "images": len(lesions),
        "dice_float32": before,
        "dice_int8": after,
    }


def _dice(card: Card, predict: Predict, sample: Sample) -> float:
    told = predict(sample.image)
    mask = lesion_mask(
        told.probability,
        threshold=card.threshold,
        rule=card.postprocessing,
        lesion_probability=told.lesion_probability,
    )
    return 2 * float((mask & sample.truth).sum()) / float(mask.sum() + sample.truth.sum())
