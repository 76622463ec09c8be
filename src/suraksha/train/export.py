"""From a finished run to a bundle, checked against torch on real pictures."""

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
from suraksha.core import Image
from suraksha.data.catalogue import DATASETS, DatasetSpec
from suraksha.data.samples import Sample, check_hashes, dataset_of, grid_of, name_of, read_samples
from suraksha.errors import TrainError
from suraksha.imaging.prepare import Preparation, prepare
from suraksha.metrics.classes import ClassScores
from suraksha.models.cost import count_macs, count_parameters
from suraksha.models.zoo import find_model, model_options
from suraksha.runtime.bundle import bundle_path, sha256_of, write_bundle
from suraksha.runtime.card import NOT_STATED, Card
from suraksha.runtime.engines import create_engine
from suraksha.train.evaluate import Tell, network_teller, score
from suraksha.train.outputs import AllOutputs, outputs_of
from suraksha.train.quantise import check_cost, quantise, teller_of
from suraksha.train.run import Run, training_facts
from suraksha.train.trusted import tempered_teller, trust_metrics, trusted

TOLERANCE = 1e-4
OPSET = 18
PARITY_PICTURES = 8
# significant bits of a float32
FLOAT_BITS = 24


def _one_size(network: nn.Module) -> bool:
    """Whether an export takes pictures of one size alone."""
    return bool(getattr(network, "one_size", False))


def to_onnx(network: nn.Module, preparation: Preparation) -> bytes:
    """The network as an ONNX file with any number, height and width of pictures.

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
                input_names=["picture"],
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
    pictures: Sequence[Image],
    preparations: Sequence[Preparation],
) -> dict[str, float]:
    """The greatest difference in probability between torch and ONNX Runtime, by size.

    Pixels and, where the network tells them, classes count alike.

    Args:
        network: In eval mode, on the CPU.
        model: Its ONNX file.
        pictures: Real pictures.
        preparations: The sizes to try.

    Raises:
        TrainError: A difference above 1e-4, or one that is no number.
    """
    engine = create_engine("onnxruntime", model)
    found: dict[str, float] = {}
    for preparation in preparations:
        batch = np.concatenate([prepare(picture, preparation) for picture in pictures])
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
            more than 0.005 of Dice on the validation part (`suraksha.train.quantise`).
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
        data: Data set or cache with the test pictures; 8 of them serve the check of parity.
        options: Licence, how the weights are stored, whose fits are taken.
        progress: Wraps the pictures, as ``tqdm`` does.

    Returns:
        The bundle's card.

    Raises:
        TrainError: The run is not finished, the answers differ, or the options do not fit.
        DataError: The data do not hold the test pictures, or hold altered ones.
        BundleError: The path does not end in ``.busi``.
    """
    path, fits = bundle_path(path), _fits_of(run, options.fits)
    run = replace(run, presence=fits.presence, classes=fits.classes)
    network, preparation = run.network(), run.config.data.preparation
    samples = read_samples(data, run.split.test, progress=progress)
    check_hashes(samples, run.split.pictures)
    card = describe(run, network, name=path.stem)
    model = to_onnx(round_weights(network, options.weight_bits), preparation)
    parity = _parity(network, model, samples, card)
    dataset, told = dataset_of(data), network_teller(network, preparation, classes=run.classes)
    card = trusted(fits, card, data=data)
    tell = tempered_teller(told, card.trust.temperature)
    if options.int8:
        model, card = _in_8_bits(run, model, card=card, data=data)
        tell = teller_of(card, model)
    card = replace(
        _scored(run, card, samples=samples, tell=tell),
        limits=limits_of(dataset),
        training={"dataset": name_of(dataset), **card.training, **_told_of_fits(run, fits)},
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
    data = replace(fits.config.data, validation_share=run.config.data.validation_share)
    alike = replace(fits.config, name=run.config.name, data=data) == run.config
    if not (alike and fits.split.test == run.split.test and fits.split.validation):
        raise TrainError(
            f"run {fits.folder} cannot give the fits of run {run.folder}",
            "it has another recipe or test part, or no validation part",
            "Give a run that differs in validation_share alone",
        )
    return fits


def _told_of_fits(run: Run, fits: Run) -> dict[str, Any]:
    """For the card, where the fits are another run's."""
    if fits.folder == run.folder:
        return {}
    count = len(fits.split.validation)
    told = f"{count} of these pictures, which a network of the same recipe did not train on"
    return {"rule, temperatures and trust fitted on": told}


def _scored(run: Run, card: Card, *, samples: Sequence[Sample], tell: Tell) -> Card:
    """The card with what the test pictures show."""
    found = score(tell, samples, name=card.name, threshold=card.threshold, rule=card.presence)
    return replace(
        card,
        trust_metrics=trust_metrics(card, samples, tell=tell),
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
        whole=teller_of(card, model),
        small=teller_of(card, small),
        pictures=read_samples(data, run.split.validation),
    )
    return small, replace(card, quantisation=cost)


def _parity(
    network: nn.Module, model: bytes, samples: Sequence[Sample], card: Card
) -> dict[str, float]:
    pictures = [sample.image for sample in samples[:PARITY_PICTURES]]
    sizes = parity_preparations(card.preparation, card.divisor)
    if _one_size(network):
        sizes = (card.preparation,)
    return check_parity(network, model, pictures=pictures, preparations=sizes)


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
        threshold=run.presence.threshold,
        presence=run.presence.rule,
        presence_fit=run.presence.fit,
        parameters=count_parameters(network),
        macs=count_macs(network, (preparation.channels, *preparation.shape)),
        parity={},
        training=training_facts(run),
        test_pictures={name: run.split.pictures[name] for name in run.split.test},
        metrics={},
        classes=() if told is None else told.names,
        normal_classes=() if told is None else told.normal,
        class_temperature=1.0 if told is None else told.temperature,
        metrics_grid="",
        suraksha_version=suraksha.__version__,
    )
