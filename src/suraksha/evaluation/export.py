"""From a finished run to a bundle, checked against torch on real images."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from suraksha.datasets.samples import (
    Data,
    Sample,
    check_hashes,
    dataset_of,
    grid_of,
    name_of,
    read_samples,
)
from suraksha.errors import TrainError
from suraksha.evaluation.bundle_card import describe, limits_of, measure_card, with_fits
from suraksha.evaluation.fit_run import fit_run
from suraksha.evaluation.quantization import check_cost, quantise
from suraksha.evaluation.samples import Progress, silent, training_masks
from suraksha.inference.bundle import Bundle, bundle_path, sha256_of, write_bundle
from suraksha.inference.card import NOT_STATED, Card
from suraksha.inference.engines import create_engine
from suraksha.inference.segmenter import Segmenter
from suraksha.networks.outputs import AllOutputs, outputs_of
from suraksha.preprocessing import Preparation, prepare
from suraksha.runs.folder import Run
from suraksha.types import Image

TOLERANCE = 1e-4
OPSET = 18
PARITY_IMAGES = 8
# significant bits of a float32
FLOAT_BITS = 24


def _one_size(network: nn.Module) -> bool:
    """Whether the exported network takes only one input size."""
    return bool(getattr(network, "one_size", False))


def to_onnx(network: nn.Module, preparation: Preparation) -> bytes:
    """The network as an ONNX file with dynamic batch size, height and width.

    A network whose ``one_size`` is true takes only images of the preparation's size. The outputs
    are ``logits``, ``classes`` with a classification head, and the attention maps.

    Args:
        network: In eval mode, on the CPU.
        preparation: Channels and size of the example input.

    Raises:
        TrainError: torch gave no program.
    """
    one_size, free = _one_size(network), torch.export.Dim.DYNAMIC
    # different sides, so that the exporter does not tie one to the other
    width = preparation.width * (1 if one_size else 2)
    shape = (2, preparation.channels, preparation.height, width)
    sides = {} if one_size else {2: free, 3: free}
    whole = AllOutputs(network).eval()
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
            program = torch.onnx.export(
                whole,
                (torch.zeros(shape),),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=list(whole.names),
                dynamic_shapes=({0: free, **sides},),
                opset_version=OPSET,
            )
    finally:
        exporter_log.setLevel(level)
    if program is None:
        raise TrainError(
            "the network could not be exported", "torch gave no ONNX program", "Report this"
        )
    content: bytes = program.model_proto.SerializeToString()
    return content


@torch.no_grad()
def round_weights(network: nn.Module, bits: int) -> nn.Module:
    """Round the weights of convolutions and matrices to fewer significant bits, in place.

    Bits that are 0 take no space in a compressed file. Batch norms that follow a convolution are
    fused into it first. Biases are not rounded.

    Args:
        network: Any network, in eval mode.
        bits: Significant bits to keep, 2 to 24; 24 changes nothing, 11 is the precision of float16.

    Raises:
        TrainError: A number of bits outside 2 to 24.
    """
    if not 2 <= bits <= FLOAT_BITS:
        raise TrainError(
            f"weight_bits = {bits} is not valid",
            f"a float32 has {FLOAT_BITS} significant bits",
            f"Give 2 to {FLOAT_BITS}; 11 halves the file",
        )
    if bits == FLOAT_BITS:
        return network
    for part in [one for one in network.modules() if isinstance(one, nn.Sequential)]:
        for place in range(len(part) - 1):
            conv, norm = part[place], part[place + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                part[place], part[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    for weight in network.parameters():
        if weight.ndim > 1:
            mantissa, exponent = torch.frexp(weight)
            weight.copy_(torch.ldexp(torch.round(mantissa * 2.0**bits) * 2.0**-bits, exponent))
    return network


def check_parity(
    network: nn.Module,
    model: bytes,
    *,
    images: Sequence[Image],
    preparations: Sequence[Preparation],
) -> dict[str, float]:
    """The max absolute difference in probability between torch and ONNX Runtime, by size.

    Both the pixels and the classes are compared.

    Args:
        network: In eval mode, on the CPU.
        model: Its ONNX file.
        images: Real images.
        preparations: The sizes to try.

    Raises:
        TrainError: A difference above 1e-4, or one that is not a number.
    """
    engine = create_engine("onnxruntime", model)
    found: dict[str, float] = {}
    for preparation in preparations:
        batch = np.concatenate([prepare(image, preparation) for image in images])
        with torch.inference_mode():
            by_torch = _probabilities(*outputs_of(network, torch.from_numpy(batch)))
        logits = engine.run(batch)
        classes = [] if logits.classes is None else [torch.from_numpy(logits.classes)]
        by_onnx = _probabilities(torch.from_numpy(logits.mask), *classes)
        size = f"{preparation.height}x{preparation.width}"
        found[size] = float((by_torch - by_onnx).abs().max())
        if not found[size] <= TOLERANCE:
            raise TrainError(
                f"the exported network at {size} differs from torch by {found[size]:.2g}",
                f"the maximum difference in probability is {TOLERANCE:g}",
                "Nothing was written. Use the versions of torch and onnxruntime in constraints.txt",
            )
    return found


def _probabilities(logits: Tensor, *classes: Tensor) -> Tensor:
    """All probabilities of a network's outputs, (n,)."""
    by_class = (one.softmax(1).flatten() for one in classes)
    return torch.cat([logits.sigmoid().flatten(), *by_class])


def parity_preparations(preparation: Preparation, divisor: int) -> tuple[Preparation, ...]:
    """Three input sizes: the network's own, twice that, and one that is not square."""
    side = max(preparation.height, divisor)
    sizes = ((side, preparation.width), (2 * side, 2 * side), (side + divisor, 2 * side))
    channels, mean, std = preparation.channels, preparation.mean, preparation.std
    return tuple(Preparation(h, w, channels, mean, std) for h, w in sizes)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a bundle is written.

    Args:
        licence: Of the weights; it depends on what the training data allow.
        weight_bits: Significant bits of the weights, 2 to 24; 11 halves the file
            (`round_weights`).
        int8: Whether the network is quantised to 8-bit integers, which is refused if it costs more
            than 0.005 of Dice on the validation part (`suraksha.evaluation.quantization`).
        fits: A run of the same recipe and test part that held out a validation part, on which
            post-processing and calibration are fitted. None for the run itself.
    """

    licence: str = NOT_STATED
    weight_bits: int = FLOAT_BITS
    int8: bool = False
    fits: Run | None = None


PLAIN = ExportOptions()


def _silent(line: str) -> None:
    return None


def export(
    run: Run,
    path: str | Path,
    *,
    data: Data,
    options: ExportOptions = PLAIN,
    progress: Progress = silent,
    log: Callable[[str], None] = _silent,
) -> Card:
    """Fit, score and write the bundle of a run, if ONNX Runtime agrees with torch.

    Post-processing and calibration are fitted on the validation images of ``data``, and the scores
    in the card are those of the exported network on its test images, by the functions that serve.

    Args:
        run: A finished run.
        path: The bundle's file, ending in ``.busi``; its stem is the bundle's name.
        data: Data with the run's images; 8 test images are used to check parity.
        options: Licence, storage of the weights, whose fits are used.
        progress: Wraps the images, as ``tqdm`` does.
        log: Called with each warning; the card's ``limits`` hold them too.

    Returns:
        The bundle's card.

    Raises:
        TrainError: The run is not finished, ONNX Runtime disagrees, or the options do not fit.
        DataError: The data do not hold the images, or hold altered ones.
        BundleError: The path does not end in ``.busi``.
    """
    path, source = bundle_path(path), _fits_source(run, options.fits)
    network, preparation = run.network(), run.config.data.preparation
    samples = read_samples(data, run.split.test, progress=progress)
    check_hashes(samples, run.split.images)
    model = to_onnx(round_weights(network, options.weight_bits), preparation)
    card = describe(run, network, name=path.stem)
    parity = _parity(network, model, samples, card)
    card = replace(card, licence=options.licence, parity=parity)
    card = _with_fits_and_facts(card, run, source, data)
    if options.int8:
        model, card = _in_8_bits(run, model, card=card, data=data)
    card = replace(card, model_sha256=sha256_of(model))
    masks = training_masks(data, run.split.train)
    segmenter = segmenter_of(card, model)
    card, scored = measure_card(segmenter, samples, training_masks=masks, progress=progress)
    card = replace(card, limits=(*scored.warnings, *limits_of(dataset_of(data))))
    write_bundle(path, model, card=card)
    for warning in scored.warnings:
        log(warning)
    return card


def _with_fits_and_facts(card: Card, run: Run, source: Run, data: Data) -> Card:
    """The card with post-processing and calibration fitted on the data."""
    fits = fit_run(source, data, base=source.fits.settings)
    card = with_fits(card, replace(source, fits=fits), data=data)
    facts = {"dataset": name_of(dataset_of(data)), **card.training, **_fits_facts(run, source)}
    return replace(card, training=facts, metrics_grid=grid_of(data))


def segmenter_of(card: Card, model: bytes) -> Segmenter:
    """The segmenter of a bundle that is not written yet.

    Args:
        card: Its card.
        model: Its ONNX file.
    """
    return Segmenter(Bundle(card, model, ""), create_engine("onnxruntime", model))


def _fits_source(run: Run, fits: Run | None) -> Run:
    """The run whose validation part is used for the fits."""
    if fits is None:
        return run
    data = replace(fits.config.data, validation_fraction=run.config.data.validation_fraction)
    alike = replace(fits.config, name=run.config.name, data=data) == run.config
    if not (alike and fits.split.test == run.split.test and fits.split.validation):
        raise TrainError(
            f"the fits of run {fits.folder} cannot be used for run {run.folder}",
            "it has another recipe or test part, or no validation part",
            "Give a run that differs only in validation_fraction",
        )
    return fits


def _fits_facts(run: Run, source: Run) -> dict[str, Any]:
    """For the card, where the fits come from another run."""
    if source.folder == run.folder:
        return {}
    count = len(source.split.validation)
    return {
        "post-processing and calibration fitted on": f"{count} of these images, with a network of "
        "the same recipe that was not trained on them"
    }


def _in_8_bits(run: Run, model: bytes, *, card: Card, data: Data) -> tuple[bytes, Card]:
    """The quantised network, and the card with its cost on the validation part."""
    trained = [sample.image for sample in read_samples(data, run.split.train)]
    small = quantise(model, trained, preparation=card.preparation)
    cost = check_cost(
        segmenter_of(card, model),
        segmenter_of(card, small),
        images=read_samples(data, run.split.validation),
    )
    return small, replace(card, quantisation=cost)


def _parity(
    network: nn.Module, model: bytes, samples: Sequence[Sample], card: Card
) -> dict[str, float]:
    images = [sample.image for sample in samples[:PARITY_IMAGES]]
    sizes = parity_preparations(card.preparation, card.divisor)
    if _one_size(network):
        sizes = (card.preparation,)
    return check_parity(network, model, images=images, preparations=sizes)
