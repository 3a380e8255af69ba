"""What a server counts, in Prometheus' form."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # borders of what took so long
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # borders of batches of so many


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "metaie_requests", "Answers to /extract, by HTTP status and code", ["status", "code"], registry=registry
        )
        self.seconds = Histogram(
            "metaie_request_seconds", "From a request's body to its answer", buckets=SECONDS, registry=registry
        )
        self.characters = Counter("metaie_characters", "Characters of texts that were taken", registry=registry)
        self.batch_texts = Histogram(
            "metaie_batch_texts", "Texts, or parts of long ones, of a batch", buckets=SIZES, registry=registry
        )
        self.batch_seconds = Histogram(
            "metaie_batch_seconds", "Time that a batch took", buckets=SECONDS, registry=registry
        )
        self.waiting = Gauge("metaie_waiting_requests", "Requests that wait or are read", registry=registry)

    def text(self) -> bytes:
        """All counters as Prometheus reads them."""
        return generate_latest(self.registry)
