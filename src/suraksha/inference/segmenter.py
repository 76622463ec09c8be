"""Load a bundle once, then segment image after image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import BundleError, UnknownNameError, UnsuitableError
from suraksha.inference.bundle import Bundle, read_bundle
from suraksha.inference.card import Card
from suraksha.inference.engines import AUTO, Engine, Maps, create_engine
from suraksha.inference.ood import out_of_distribution_reason
from suraksha.inference.prediction import Prediction, class_probabilities
from suraksha.inference.roi import AUTO as AUTO_PATCH
from suraksha.inference.roi import (
    InferenceSpec,
    RawPrediction,
    fixed_preparation,
    merge_regions,
    predict_full,
    predict_roi,
)
from suraksha.inference.stopwatch import Stopwatch
from suraksha.inference.stream import Stream
from suraksha.inference.stream_report import StreamOptions
from suraksha.io.video import Frame
from suraksha.measurement.measure import measure_image
from suraksha.preprocessing import prepare
from suraksha.types import Image, Result

EVERY_FRAME = StreamOptions()


def _as_it_is(told: Prediction) -> Prediction:
    return told


class Segmenter:
    """A loaded bundle: an image in, a `Result` out.

    Args:
        bundle: A verified bundle.
        engine: What runs its network.
        patch: Side of the network's input in pixels, ``auto`` to choose as it runs
            (`suraksha.inference.roi`), or None for the bundle's own size.
        check: Whether images that do not look like ultrasound are refused, where the bundle
            knows what ultrasound looks like (`suraksha.inference.ood`).

    Raises:
        UsageError: A size that the network does not take.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        patch: int | str | None = None,
        check: bool = True,
    ) -> None:
        self.bundle, self.engine, self._check = bundle, engine, check
        card, self._closer = bundle.card, patch == AUTO_PATCH
        wanted = card.preparation
        if isinstance(patch, int):
            wanted = fixed_preparation(wanted, patch, divisor=card.divisor)
        elif patch not in (None, AUTO_PATCH):
            raise UnknownNameError("patch", str(patch), (AUTO_PATCH, "a number of pixels"))
        self._eye = InferenceSpec(
            engine.run, wanted, card.divisor, card.confidence_calibration.temperature
        )

    @property
    def card(self) -> Card:
        """The bundle's card."""
        return self.bundle.card

    def predict(self, image: Image) -> Prediction:
        """What the network tells of one image, before threshold and presence rule.

        Raises:
            BundleError: The network tells other classes than the card.
        """
        seen = self._see(image, Stopwatch())
        return self._whole(seen, self._classes(seen, image))

    def explain(self, image: Image) -> Maps:
        """Where the network looks in an image, or in its largest scan, by name, coarse to fine.

        Returns:
            (h, w) float32 on the grids of the network: ``skip4`` to ``skip1``, the weights of the
            gates in 0..1, and ``bottleneck``, sum 1, as far as the network has them. Empty for a
            bundle without attention, or one that was exported before it could tell.

        Raises:
            BundleError: The network does not take the image.
        """
        scan = image.cut(image.scans[0])
        found = self.engine.explain(prepare(scan, self.card.preparation))
        return {name: weights[0, 0] for name, weights in found.items()}

    def __call__(self, image: Image) -> Result:
        """Segment and measure one image; see `answer`."""
        return self.segment(image)

    def stream(
        self, frames: Iterable[Frame | Image], options: StreamOptions = EVERY_FRAME
    ) -> Stream:
        """The results of a stream of frames, while a thread of its own reads and decodes them.

        Args:
            frames: A `suraksha.io.video.FrameSource`, or images of any origin.
            options: Whether frames may be dropped, a deadline, smoothing; as it stands, every frame
                is answered.

        Returns:
            What to iterate over; its ``report`` tells latencies and what became of the frames.
        """
        return Stream(self, frames, options)

    def segment(
        self, image: Image, *, adjust: Callable[[Prediction], Prediction] = _as_it_is
    ) -> Result:
        """Segment and measure one image.

        Args:
            image: The image; with a spacing the lesions are measured in mm too. Each of its scans
                is segmented by itself; what lies outside them never reaches the network.
            adjust: Changes what the network tells before the mask is made of it.

        Returns:
            Mask and probability of the image's own size, lesions, and milliseconds by stage:
            ``check``, ``prepare``, ``network``, ``restore``, ``measure``, ``total``. The mask holds
            the regions that meet the card's presence rule; the probability is the whole map. The
            probability of each class, where the bundle tells them, comes from the same pass.

        Raises:
            BundleError: The network tells other classes than the card.
            UnsuitableError: The image does not look like ultrasound.
        """
        watch = Stopwatch()
        if self._check:
            with watch("check"):
                self._check_looks(image)
        seen = self._see(image, watch)
        with watch("restore"):
            scans = self._classes(seen, image)
            told = adjust(self._whole(seen, scans))
            mask, unseen = self._mask(told, image, scans)
        with watch("measure"):
            measured = measure_image(mask, image, probability=told.probability)
            lesions = self.card.confidence_calibration.confident(measured)
        latency = {**watch.milliseconds, "total": sum(watch.milliseconds.values())}
        return Result(
            *(mask, told.probability, lesions, image, self.card, latency),
            classes=told.classes,
            patches=seen.patches,
            review=self.card.confidence_calibration.review(lesions, unseen=unseen),
        )

    def _check_looks(self, image: Image) -> None:
        why = out_of_distribution_reason(
            image.cut(image.scans[0]), self.card.confidence_calibration.image_features
        )
        if why:
            raise UnsuitableError(image.name, why)

    def _see(self, image: Image, watch: Stopwatch) -> RawPrediction:
        seen = [self._see_scan(image.cut(scan), watch) for scan in image.scans]
        return merge_regions(seen, image)

    def _see_scan(self, scan: Image, watch: Stopwatch) -> RawPrediction:
        return (predict_roi if self._closer else predict_full)(scan, self._eye, watch=watch)

    def _mask(
        self, told: Prediction, image: Image, scans: Sequence[Mapping[str, float] | None]
    ) -> tuple[NDArray[np.bool_], float]:
        """What threshold and presence rule make of each scan, by what it tells of itself.

        Beside it the greatest chance of a lesion in a scan in which nothing is marked, 0 where
        every scan is marked or no classes are told.
        """
        mask, unseen = np.zeros(image.shape, bool), 0.0
        for scan, classes in zip(image.scans, scans, strict=True):
            part = Prediction(told.probability[scan.slices], classes, told.normal)
            marked = part.mask(self.card.threshold, self.card.postprocessing)
            mask[scan.slices] |= marked
            if classes is not None and not marked.any():
                unseen = max(unseen, part.lesion)
        return mask, unseen

    def _classes(self, seen: RawPrediction, image: Image) -> list[Mapping[str, float] | None]:
        """The probability of each class, for each scan of the image."""
        card = self.card
        if not card.classes:
            return [None] * len(image.scans)
        counts = [len(logits) for logits in seen.classes] or [0]
        if set(counts) != {len(card.classes)}:
            raise BundleError(
                f"bundle {card.name} cannot tell classes",
                f"its card names {len(card.classes)}, its network tells {counts[0]}",
                "Export the bundle again",
            )
        return [
            class_probabilities(logits, names=card.classes, temperature=card.class_temperature)
            for logits in seen.classes
        ]

    def _whole(
        self, seen: RawPrediction, scans: Sequence[Mapping[str, float] | None]
    ) -> Prediction:
        """What is told of the whole image: its classes are those of the most suspicious scan."""
        each = [
            Prediction(seen.probability, classes, self.card.normal_classes) for classes in scans
        ]
        return max(each, key=lambda told: told.lesion)


def load_segmenter(
    bundle: str | Path | None = None,
    *,
    engine: str = AUTO,
    threads: int | None = None,
    patch: int | str | None = None,
    check: bool = True,
) -> Segmenter:
    """Load a bundle, its hashes verified. Do it once and call the segmenter often.

    Args:
        bundle: A shipped name, the path of a ``.busi`` file, or None for the default bundle.
        engine: A name of ``ENGINES``, or ``auto`` (ONNX Runtime).
        threads: Threads of the engine; None for the cores at hand, four at most.
        patch: Side of the network's input in pixels, ``auto`` to choose as it runs, or None for the
            bundle's own.
        check: Whether images that do not look like ultrasound are refused.

    Raises:
        UnknownNameError: No bundle, engine or patch has that name.
        BundleError: The bundle is missing, damaged, altered or made for another version.
        UsageError: ``threads`` is below 1, or a patch that the network does not take.
    """
    loaded = read_bundle(bundle)
    made = create_engine(engine, loaded.model, threads=threads)
    return Segmenter(loaded, made, patch=patch, check=check)
