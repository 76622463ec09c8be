"""From a finished run to a bundle, checked against torch on real images."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import suraksha
from suraksha.datasets.catalogue import DATASETS, DatasetSpec
from suraksha.datasets.samples import (
    Sample,
    check_hashes,
    dataset_of,
    grid_of,
    name_of,
    read_samples,
)
from suraksha.errors import TrainError
from suraksha.evaluation.calibration_report import (
    calibration_metrics,
    temperature_scaled_predictor,
    trusted,
)
from suraksha.evaluation.evaluate import Predict, network_predictor, score
from suraksha.evaluation.quantization import check_cost, predictor_of, quantise
from suraksha.inference.bundle import bundle_path, sha256_of, write_bundle
from suraksha.inference.card import NOT_STATED, Card
from suraksha.inference.engines import create_engine
from suraksha.metrics.classes import ClassScores
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.outputs import AllOutputs, outputs_of
from suraksha.networks.zoo import find_model, model_options
from suraksha.preprocessing import Preparation, prepare
from suraksha.runs.folder import Run, training_facts
from suraksha.types import Image

TOLERANCE = 1e-4
OPSET = 18
PARITY_IMAGES = 8
# significant bits of a float32
FLOAT_BITS = 24


def _one_size(network: nn.Module) -> bool:
    """Whether an export takes images of one size alone."""
    return bool(getattr(network, "one_size", False))


def to_onnx(network: nn.Module, preparation: Preparation) -> bytes:
    """The network as an ONNX file with any number, height and width of images.

    A network whose ``one_size`` is true takes those of the preparation's size alone. The outputs
    are ``logits`` and, where the network tells classes, ``classes``.

    Args:
        network: In eval mode, on the CPU.
        preparation: Its channels and size serve as the example.

    Raises:
        TrainError: torch gave no program.
    """
    one_size, free = _one_size(network), torch.export.Dim.DYNAMIC
    # two unlike sides, so that the exporter takes neither for the other
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

    The bits that become 0 cost nothing in a compressed file. Norms that follow a convolution are
    put into its weights first, as the exporter would do it after. Biases stay as they are.

    Args:
        network: Any network, in eval mode.
        bits: Significant bits to keep, 2 to 24; 24 changes nothing, 11 is the precision of float16.

    Raises:
        TrainError: Another number of bits.
    """
    if not 2 <= bits <= FLOAT_BITS:
        raise TrainError(
            f"weights of {bits} bits cannot be written",
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
    """The greatest difference in probability between torch and ONNX Runtime, by size.

    Pixels and, where the network tells them, classes count alike.

    Args:
        network: In eval mode, on the CPU.
        model: Its ONNX file.
        images: Real images.
        preparations: The sizes to try.

    Raises:
        TrainError: A difference above 1e-4, or one that is no number.
    """
    engine = create_engine("onnxruntime", model)
    found: dict[str, float] = {}
    for preparation in preparations:
        batch = np.concatenate([prepare(image, preparation) for image in images])
        with torch.inference_mode():
            ours = _probabilities(*outputs_of(network, torch.from_numpy(batch)))
        answer = engine.run(batch)
        told = [] if answer.classes is None else [torch.from_numpy(answer.classes)]
        theirs = _probabilities(torch.from_numpy(answer.mask), *told)
        size = f"{preparation.height}x{preparation.width}"
        found[size] = float((ours - theirs).abs().max())
        if not found[size] <= TOLERANCE:
            raise TrainError(
                f"the export at {size} differs from the network by {found[size]:.2g}",
                f"at most {TOLERANCE:g} in probability is allowed",
                "Nothing was written. Use the versions of torch and onnxruntime in constraints.txt",
            )
    return found


def _probabilities(logits: Tensor, *classes: Tensor) -> Tensor:
    """All probabilities of a network's outputs in a row."""
    told = (one.softmax(1).flatten() for one in classes)
    return torch.cat([logits.sigmoid().flatten(), *told])


def parity_preparations(preparation: Preparation, divisor: int) -> tuple[Preparation, ...]:
    """Three sizes: the network's own, its double, and one that is not square."""
    side = max(preparation.height, divisor)
    sizes = ((side, preparation.width), (2 * side, 2 * side), (side + divisor, 2 * side))
    channels, mean, std = preparation.channels, preparation.mean, preparation.std
    return tuple(Preparation(h, w, channels, mean, std) for h, w in sizes)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a bundle is written.

    Args:
        licence: Of the weights; it depends on what the training data allow.
        weight_bits: Significant bits that the weights keep, 2 to 24; 11 halves the file
            (`round_weights`).
        int8: Whether the network is brought to 8-bit integers, which is refused where that costs
            more than 0.005 of Dice on the validation part (`suraksha.evaluation.quantization`).
        fits: A run of the same recipe and test part that held a validation part back, on which
            what is fitted is fitted: presence rule, temperatures, trust. None for the run itself.
    """

    licence: str = NOT_STATED
    weight_bits: int = FLOAT_BITS
    int8: bool = False
    fits: Run | None = None


PLAIN = ExportOptions()


def export(
    run: Run,
    path: str | Path,
    *,
    data: str | Path,
    options: ExportOptions = PLAIN,
    progress: Callable[[Sequence[Any]], Iterable[Any]] | None = None,
) -> Card:
    """Score a run on its test part and write its bundle, if ONNX Runtime answers as torch.

    Args:
        run: A finished run.
        path: The bundle's file, ending in ``.busi``; its stem is the bundle's name.
        data: Data set or cache with the test images; 8 of them serve the check of parity.
        options: Licence, how the weights are stored, whose fits are taken.
        progress: Wraps the images, as ``tqdm`` does.

    Returns:
        The bundle's card.

    Raises:
        TrainError: The run is not finished, the answers differ, or the options do not fit.
        DataError: The data do not hold the test images, or hold altered ones.
        BundleError: The path does not end in ``.busi``.
    """
    path, fits = bundle_path(path), _fits_of(run, options.fits)
    run = replace(run, postprocessing=fits.postprocessing, classes=fits.classes)
    network, preparation = run.network(), run.config.data.preparation
    samples = read_samples(data, run.split.test, progress=progress)
    check_hashes(samples, run.split.images)
    card = describe(run, network, name=path.stem)
    model = to_onnx(round_weights(network, options.weight_bits), preparation)
    parity = _parity(network, model, samples, card)
    dataset, told = dataset_of(data), network_predictor(network, preparation, classes=run.classes)
    card = trusted(fits, card, data=data)
    predict = temperature_scaled_predictor(told, card.confidence_calibration.temperature)
    if options.int8:
        model, card = _in_8_bits(run, model, card=card, data=data)
        predict = predictor_of(card, model)
    card = replace(
        _scored(run, card, samples=samples, predict=predict),
        limits=limits_of(dataset),
        training={"dataset": name_of(dataset), **card.training, **_calibration_facts(run, fits)},
        licence=options.licence,
        model_sha256=sha256_of(model),
        parity=parity,
        metrics_grid=grid_of(data),
    )
    write_bundle(path, model, card=card)
    return card


def _fits_of(run: Run, fits: Run | None) -> Run:
    """The run that rule, temperatures and trust come from."""
    if fits is None:
        return run
    data = replace(fits.config.data, validation_fraction=run.config.data.validation_fraction)
    alike = replace(fits.config, name=run.config.name, data=data) == run.config
    if not (alike and fits.split.test == run.split.test and fits.split.validation):
        raise TrainError(
            f"run {fits.folder} cannot give the fits of run {run.folder}",
            "it has another recipe or test part, or no validation part",
            "Give a run that differs in validation_fraction alone",
        )
    return fits


def _calibration_facts(run: Run, fits: Run) -> dict[str, Any]:
    """For the card, where the fits are another run's."""
    if fits.folder == run.folder:
        return {}
    count = len(fits.split.validation)
    told = f"{count} of these images, which a network of the same recipe did not train on"
    return {"rule, temperatures and trust fitted on": told}


def _scored(run: Run, card: Card, *, samples: Sequence[Sample], predict: Predict) -> Card:
    """The card with what the test images show."""
    found = score(
        predict, samples, name=card.name, threshold=card.threshold, rule=card.postprocessing
    )
    return replace(
        card,
        calibration_metrics=calibration_metrics(card, samples, predict=predict),
        metrics=found.to_dict()["models"][card.name],
        calibration=found.calibration.to_dict(),
        class_metrics=_class_metrics(run, found.classes),
    )


def _in_8_bits(run: Run, model: bytes, *, card: Card, data: str | Path) -> tuple[bytes, Card]:
    """The network in 8 bits, and the card with what that costs on the validation part."""
    trained = [sample.image for sample in read_samples(data, run.split.train)]
    small = quantise(model, trained, preparation=card.preparation)
    cost = check_cost(
        card,
        whole=predictor_of(card, model),
        small=predictor_of(card, small),
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


def _class_metrics(run: Run, scores: ClassScores | None) -> dict[str, Any]:
    if run.classes is None:
        return {}
    found = {} if scores is None else scores.to_dict()
    return {**found, "calibration": dict(run.classes.fit)}


def limits_of(dataset: DatasetSpec | str) -> tuple[str, ...]:
    """What the card says of a data set's limits: its description's words, or that there are none.

    Args:
        dataset: Its description, or its name where only a cache is there.
    """
    known = {spec.name: spec for spec in DATASETS}
    spec = known.get(dataset) if isinstance(dataset, str) else dataset
    name = name_of(dataset)
    if spec is not None and spec.limits:
        return spec.limits
    return (f"Trained on the data set '{name}', whose limits are not stated.",)


def describe(run: Run, network: nn.Module, *, name: str) -> Card:
    """The card of a run, as far as the run itself decides it.

    Args:
        run: A finished run.
        network: Its network.
        name: The bundle's name.
    """
    entry, preparation = find_model(run.config.model.name), run.config.data.preparation
    told = run.classes
    return Card(
        name=name,
        model={"name": entry.name, **model_options(network)},
        model_sha256="",
        preparation=preparation,
        divisor=entry.divisor,
        threshold=run.postprocessing.threshold,
        postprocessing=run.postprocessing.rule,
        postprocessing_fit=run.postprocessing.fit,
        parameters=count_parameters(network),
        macs=count_macs(network, (preparation.channels, *preparation.shape)),
        parity={},
        training=training_facts(run),
        test_images={name: run.split.images[name] for name in run.split.test},
        metrics={},
        classes=() if told is None else told.names,
        normal_classes=() if told is None else told.normal,
        class_temperature=1.0 if told is None else told.temperature,
        metrics_grid="",
        suraksha_version=suraksha.__version__,
    )
