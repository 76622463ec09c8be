"""Prometheus metrics of the server; they hold no patient data."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServerMetrics:
    """The metrics of one server, in a separate registry.

    Args:
        in_flight: Returns the number of requests in progress.
        bundle: Name of the bundle.
    """

    def __init__(self, in_flight: Callable[[], int], bundle: str) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "suraksha_requests", "Requests", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "suraksha_request_seconds",
            "Duration of a request",
            ("route",),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._images = Counter(
            "suraksha_images", "Images by outcome", ("outcome",), registry=self.registry
        )
        self._stage = Histogram(
            "suraksha_stage_seconds",
            "Duration of a processing stage of an image",
            ("stage",),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        gauge = Gauge(
            "suraksha_requests_in_flight", "Requests with a body in progress",
            registry=self.registry,
        )  # fmt: skip
        gauge.set_function(in_flight)
        about = Gauge("suraksha_bundle", "Loaded bundle", ("name",), registry=self.registry)
        about.labels(bundle).set(1)
        ProcessCollector(registry=self.registry)

    def count_request(self, route: str, method: str, *, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_image(self, latency_ms: dict[str, float]) -> None:
        """Count one segmented image and the duration of its stages."""
        self._images.labels("segmented").inc()
        for stage, ms in latency_ms.items():
            self._stage.labels(stage).observe(ms / 1000)

    def count_failure(self) -> None:
        """Count one image that could not be segmented."""
        self._images.labels("failed").inc()

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
