"""Load a bundle once, then segment image after image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from suraksha.errors import BundleError, UnknownNameError, UnsuitableError
from suraksha.inference.batch import Batch
from suraksha.inference.bundle import BUNDLES, DEFAULT_BUNDLE, Bundle, read_bundle
from suraksha.inference.card import Card
from suraksha.inference.engines import AUTO, Engine, Maps, create_engine
from suraksha.inference.ood import out_of_distribution_reason
from suraksha.inference.postprocessing import Segmentation, apply_threshold
from suraksha.inference.prediction import Prediction
from suraksha.inference.roi import AUTO as AUTO_PATCH
from suraksha.inference.roi import (
    InferenceSpec,
    Stopwatch,
    fixed_preparation,
    predict_image,
    segment_image,
)
from suraksha.inference.stream import Stream, StreamOptions
from suraksha.io.inputs import as_image
from suraksha.io.video import Frame
from suraksha.measurement.measure import measure_image
from suraksha.preprocessing import prepare
from suraksha.types import Image, Result, Spacing

EVERY_FRAME = StreamOptions()


def _unchanged(prediction: Prediction) -> Prediction:
    return prediction


class Segmenter:
    """A loaded bundle: an image in, a `Result` out.

    Threads may share one. It can be pickled: the copy opens its bundle and engine again.

    Args:
        bundle: A verified bundle.
        engine: What runs its network.
        patch: Side of the network's input in pixels, ``auto`` for two passes
            (`suraksha.inference.roi`), or None for the bundle's own input size.
        check: Whether images outside the bundle's feature bounds are refused
            (`suraksha.inference.ood`).
        source: Name or path that a pickled copy opens again; empty to pickle the bundle itself.

    Raises:
        UsageError: An input size that the network does not take.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        patch: int | str | None = None,
        check: bool = True,
        source: str = "",
    ) -> None:
        self.bundle, self.engine = bundle, engine
        self._patch, self._check, self._source = patch, check, source
        card, preparation = bundle.card, bundle.card.preparation
        if isinstance(patch, int):
            preparation = fixed_preparation(preparation, patch, divisor=card.divisor)
        elif patch not in (None, AUTO_PATCH):
            raise UnknownNameError("patch", str(patch), (AUTO_PATCH, "a number of pixels"))
        self._spec = InferenceSpec(
            engine.run, preparation, card, divisor=card.divisor, two_pass=patch == AUTO_PATCH
        )

    @property
    def card(self) -> Card:
        """The bundle's card."""
        return self.bundle.card

    def __repr__(self) -> str:
        return f"<Segmenter {self.card.name}, {self.engine.name}, {self.engine.threads} threads>"

    def __reduce__(self) -> tuple[Callable[..., Segmenter], tuple[object, ...]]:
        """Pickled by the name or path of its bundle, or else with the bundle's content."""
        options = (self.engine.name, self.engine.threads, self._patch, self._check)
        if self._source:
            return _reopened, (self._source, self.bundle.sha256, *options)
        return _rebuilt, (self.bundle, *options)

    def __call__(self, item: object, *, spacing: Spacing | float | None = None) -> Result:
        """Segment and measure one image; see `segment`.

        Args:
            item: A path, a numpy array (uint8, uint16, or floats from 0 to 1), a PIL image, a
                pydicom Dataset or a `suraksha.Image`.
            spacing: Size of a pixel in mm, for items that do not know it.

        Raises:
            InputError: The item is not an image that can be used.
            UnsuitableError: The image does not look like ultrasound.
        """
        return self.segment(as_image(item, spacing=spacing))

    def batch(self, items: Iterable[object], *, threads: int | None = None) -> Batch:
        """Segment many items side by side.

        Args:
            items: What `__call__` takes, each; read lazily.
            threads: Items in work at a time; None for one per core, at most four.

        Returns:
            An iterator over the results, in order. A bad item raises its error at its turn.

        Raises:
            UsageError: ``threads`` is below 1.
        """
        return Batch(self, items, threads=threads)

    def stream(
        self, frames: Iterable[Frame | Image], options: StreamOptions = EVERY_FRAME
    ) -> Stream:
        """Segment a stream of frames while a thread reads and decodes them.

        Args:
            frames: A `suraksha.io.video.FrameSource`, or images.
            options: Whether frames may be dropped, a deadline, smoothing. By default every frame
                is segmented.

        Returns:
            An iterable over the results; its ``report`` has latencies and counts of frames.
        """
        return Stream(self, frames, options)

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
        """The attention maps for an image, or for its largest scan, by name, coarse to fine.

        Returns:
            (h, w) float32 on the grids of the network: ``skip4`` to ``skip1``, the weights of the
            attention gates in 0..1, and ``bottleneck``, sum 1, as far as the network has them.
            Empty for a bundle without attention outputs.

        Raises:
            BundleError: The network does not take the image.
        """
        scan = image.cut(image.scans[0])
        found = self.engine.explain(prepare(scan, self.card.preparation))
        return {name: weights[0, 0] for name, weights in found.items()}

    def segment(
        self, image: Image, *, adjust: Callable[[Prediction], Prediction] = _unchanged
    ) -> Result:
        """Segment and measure one image.

        Args:
            image: The image; with a spacing the lesions are measured in mm too. Each of its scans
                is segmented separately; pixels outside them never reach the network.
            adjust: Changes the prediction before the mask is made of it.

        Returns:
            Mask and probability map of the image's own size, lesions, and milliseconds by stage:
            ``check``, ``prepare``, ``network``, ``restore``, ``measure``, ``total``, and ``roi``
            with two passes. The mask holds the regions that meet the card's rule; the probability
            map is the whole map.

        Raises:
            BundleError: The network does not match the card.
            UnsuitableError: The image does not look like ultrasound.
        """
        watch = Stopwatch()
        if self._check:
            with watch("check"):
                self._check_input(image)
        found = predict_image(image, self._spec, watch=watch)
        with watch("restore"):
            segmentation = apply_threshold(
                adjust(found.prediction), image, card=self.card, scan_classes=found.scan_classes
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
    """Load a bundle and verify its hashes. Load once, then call the segmenter for every image.

    Args:
        bundle: A shipped name, the path of a ``.busi`` file, or None for the default bundle.
        engine: A name of ``ENGINES``, or ``auto`` (ONNX Runtime).
        threads: Threads of the engine; None for the available cores, at most four.
        patch: Side of the network's input in pixels, ``auto`` for two passes, or None for the
            bundle's own input size.
        check: Whether images that do not look like ultrasound are refused.

    Raises:
        UnknownNameError: No bundle, engine or patch has that name.
        BundleError: The bundle is missing, damaged, altered or made for another version.
        UsageError: ``threads`` is below 1, or an input size that the network does not take.
    """
    loaded = read_bundle(bundle)
    name = str(bundle or DEFAULT_BUNDLE)
    return Segmenter(
        loaded,
        create_engine(engine, loaded.model, threads=threads),
        patch=patch,
        check=check,
        source=name if name in BUNDLES else str(Path(name).resolve()),
    )


@lru_cache(maxsize=4)
def _reopened(
    source: str, sha256: str, engine: str, threads: int, patch: int | str | None, check: bool
) -> Segmenter:
    """A pickled segmenter, opened again; once per process, as pools send one with every task."""
    segmenter = load_segmenter(source, engine=engine, threads=threads, patch=patch, check=check)
    if segmenter.bundle.sha256 != sha256:
        raise BundleError(
            f"bundle {source} has changed", "the pickled segmenter had another", "Load it again"
        )
    return segmenter


def _rebuilt(
    bundle: Bundle, engine: str, threads: int, patch: int | str | None, check: bool
) -> Segmenter:
    made = create_engine(engine, bundle.model, threads=threads)
    return Segmenter(bundle, made, patch=patch, check=check)
