"""Quantise a network from 32-bit floats to 8-bit integers, and measure the cost."""

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
from suraksha.inference.segmenter import Segmenter
from suraksha.preprocessing import Preparation, prepare
from suraksha.types import Image

# maximum loss of mean Dice on the validation part
MAX_DICE_LOSS = 0.005
# images from which the ranges of the activations are taken
CALIBRATED_ON = 100


def quantise(model: bytes, images: Sequence[Image], *, preparation: Preparation) -> bytes:
    """The network with 8-bit weights and activations.

    Static quantisation by ONNX Runtime: weights by channel, activations unsigned within the minimum
    and maximum that the images give; in QDQ format, which every engine can run.

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
            "the network cannot be quantised to 8 bits",
            "there are no training images for its ranges",
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
                _reader(_batches(chosen, preparation, name=input_name(model))),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return made.read_bytes()
    finally:
        logging.root.setLevel(level)


def input_name(model: bytes) -> str:
    """The name of the input of an ONNX file; bundles of version 0.1.0 have another one."""
    import onnx

    return str(onnx.load_model_from_string(model).graph.input[0].name)


def _batches(
    images: Sequence[Image], preparation: Preparation, *, name: str
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for image in images:
        yield {name: prepare(image, preparation)}


def _reader(batches: Iterator[dict[str, NDArray[np.float32]]]) -> Any:  # noqa: ANN401
    """The images as ONNX Runtime reads them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(batches, None)

    return Reader()


def check_cost(whole: Segmenter, small: Segmenter, *, images: Sequence[Sample]) -> dict[str, Any]:
    """Compare the two networks on images outside the training set.

    Args:
        whole: The network in 32-bit floats.
        small: The network in 8-bit integers, with the same card.
        images: The validation part.

    Returns:
        For the card: number of lesion images, mean Dice of both.

    Raises:
        TrainError: No lesion image, or a mean Dice that falls by more than 0.005.
    """
    lesions = [sample for sample in images if sample.truth.any()]
    if not lesions:
        raise TrainError(
            "the network cannot be quantised to 8 bits",
            "there is no validation part, so its cost cannot be measured",
            "Train with validation_fraction above 0",
        )
    before, after = (
        float(np.mean([_dice(segmenter, sample) for sample in lesions]))
        for segmenter in (whole, small)
    )
    if before - after > MAX_DICE_LOSS:
        raise TrainError(
            f"in 8 bits the mean Dice falls from {before:.4f} to {after:.4f}",
            f"the maximum loss on the {len(lesions)} validation images is {MAX_DICE_LOSS}",
            "Nothing was written. Export without --int8",
        )
    return {
        "weights": "8-bit integers by channel",
        "activations": "8-bit unsigned integers",
        "images": len(lesions),
        "dice_float32": before,
        "dice_int8": after,
    }


def _dice(segmenter: Segmenter, sample: Sample) -> float:
    mask = segmenter.predict_mask(sample.image).mask
    return 2 * float((mask & sample.truth).sum()) / float(mask.sum() + sample.truth.sum())
