"""Load a bundle once, then segment image after image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from suraksha.errors import UnknownNameError, UnsuitableError
from suraksha.inference.bundle import Bundle, read_bundle
from suraksha.inference.card import Card
from suraksha.inference.engines import AUTO, Engine, Maps, create_engine
from suraksha.inference.ood import out_of_distribution_reason
from suraksha.inference.postprocessing import Segmentation, apply_threshold
from suraksha.inference.prediction import Prediction
from suraksha.inference.roi import AUTO as AUTO_PATCH
from suraksha.inference.roi import (
    InferenceSpec,
    fixed_preparation,
    predict_image,
    segment_image,
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
        card, preparation = bundle.card, bundle.card.preparation
        if isinstance(patch, int):
            preparation = fixed_preparation(preparation, patch, divisor=card.divisor)
        elif patch not in (None, AUTO_PATCH):
            raise UnknownNameError("patch", str(patch), (AUTO_PATCH, "a number of pixels"))
        self._spec = InferenceSpec(
            engine.run,
            preparation,
            card,
            divisor=card.divisor,
            two_pass=patch == AUTO_PATCH,
        )

    @property
    def card(self) -> Card:
        """The bundle's card."""
        return self.bundle.card

    def predict(self, image: Image) -> Prediction:
        """The prediction for one image, before threshold and post-processing rule.

        Raises:
            BundleError: The network does not match the card.
        """
        return predict_image(image, self._spec, watch=Stopwatch()).prediction

    def predict_mask(self, image: Image) -> Segmentation:
        """Prediction and mask of one image, as `segment` gives them, without measuring.

        Raises:
            BundleError: The network does not match the card.
        """
        return segment_image(image, self._spec)

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
                self._check_input(image)
        found = predict_image(image, self._spec, watch=watch)
        with watch("restore"):
            segmentation = apply_threshold(
                adjust(found.prediction), image, self.card, scan_classes=found.scan_classes
            )
        mask, prediction = segmentation.mask, segmentation.prediction
        calibration = self.card.confidence_calibration
        with watch("measure"):
            measured = measure_image(mask, image, probability=prediction.probability)
            lesions = calibration.calibrated(measured)
        return Result(
            mask=mask,
            probability=prediction.probability,
            lesions=lesions,
            image=image,
            card=self.card,
            latency_ms={**watch.milliseconds, "total": sum(watch.milliseconds.values())},
            classes=prediction.classes,
            patches=found.patches,
            review=calibration.review(
                lesions, unmarked_probability=segmentation.unmarked_probability
            ),
        )

    def _check_input(self, image: Image) -> None:
        bounds = self.card.confidence_calibration.feature_bounds
        reason = out_of_distribution_reason(image.cut(image.scans[0]), bounds)
        if reason:
            raise UnsuitableError(image.name, reason)


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
