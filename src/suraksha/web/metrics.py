"""Numbers for Prometheus: of requests and images, never of a patient."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one server, in a registry of its own.

    Args:
        taken: Tells how many requests are being answered.
        bundle: Name of the bundle that answers.
    """

    def __init__(self, taken: Callable[[], int], bundle: str) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "suraksha_requests", "Requests", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "suraksha_request_seconds",
            "Time of a request",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.images = Counter(
            "suraksha_images", "Images answered", ("outcome",), registry=self.registry
        )
        self._stage = Histogram(
            "suraksha_stage_seconds",
            "Time of a stage of an image",
            ("stage",),
            buckets=SECONDS,
            registry=self.registry,
        )
        in_flight = Gauge(
            "suraksha_requests_in_flight", "Requests with a body", registry=self.registry
        )
        in_flight.set_function(taken)
        about = Gauge("suraksha_bundle", "The bundle", ("name",), registry=self.registry)
        about.labels(bundle).set(1)
        ProcessCollector(registry=self.registry)

    def request(self, route: str, method: str, *, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def stages(self, latency_ms: dict[str, float]) -> None:
        """Count an image's stages."""
        for stage, ms in latency_ms.items():
            self._stage.labels(stage).observe(ms / 1000)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)
