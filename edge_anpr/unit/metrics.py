"""The unit's health for Prometheus, as the publisher told it last: counts and gauges, and no label at all.

Of what passes nothing is told here that the heartbeat does not tell. Whoever may reach the address may read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edge_anpr.address import parse
from edge_anpr.errors import Unusable
from edge_anpr.unit.states import json_object

Read = Callable[[], bytes]

_GAUGES = {
    "edge_anpr_frames_per_second": ("recogniser.fps", "Frames that are looked at."),
    "edge_anpr_frame_p95_milliseconds": ("recogniser.latency_ms.p95", "From frame to decision, 95th percentile."),
    "edge_anpr_recogniser_age_seconds": ("recogniser.age_s", "Since the recogniser last told its state."),
    "edge_anpr_outbox_hits": ("publisher.outbox.hits", "Messages that wait."),
    "edge_anpr_outbox_bytes": ("publisher.outbox.bytes", "Bytes that wait."),
    "edge_anpr_outbox_oldest_seconds": ("publisher.outbox.oldest_s", "For how long the oldest has waited."),
    "edge_anpr_hits_parked": ("publisher.parked", "Hits that alone are not taken."),
    "edge_anpr_without_receipt_seconds": ("publisher.without_receipt_s", "Since hits went out and no receipt came."),
    "edge_anpr_connected_seconds": ("publisher.connected_s", "For how long the broker has been there; 0: it is not."),
    "edge_anpr_clock_synchronised": ("clock.sync", "1 while something disciplines the clock."),
}
_COUNTERS = {
    "edge_anpr_frames": ("recogniser.frames", "Frames that were looked at."),
    "edge_anpr_frames_dropped": ("recogniser.drops", "Frames that came too fast."),
    "edge_anpr_passages": ("recogniser.passages", "Vehicles whose plate was read."),
    "edge_anpr_hits": ("recogniser.hits", "Passages of listed plates."),
    "edge_anpr_hits_refused": ("recogniser.hits_refused", "Messages that the outbox refused: full, or a dead disk."),
    "edge_anpr_messages_sent": ("publisher.sent", "Messages of hits handed to the broker, repeats among them."),
    "edge_anpr_messages_retried": ("publisher.retries", "Of those, repeats."),
    "edge_anpr_messages_receipted": ("publisher.receipted", "Messages that the centre has receipted."),
    "edge_anpr_messages_expired": ("publisher.expired", "Messages deleted undelivered, because they were too old."),
    "edge_anpr_reconnects": ("publisher.reconnects", "Connections to the broker after the first."),
}


def serve(address: str, health: Read) -> None:
    """Answer at HOST:PORT from a thread while the process lives; ``health`` is asked each time. Raises Unusable."""
    try:
        import prometheus_client  # noqa: PLC0415 - an extra, and 2 MB
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric  # noqa: PLC0415
        from prometheus_client.registry import Collector  # noqa: PLC0415
    except ImportError:
        raise Unusable("health.metrics needs a package: pip install 'edge-anpr[metrics]'") from None

    class Health(Collector):
        def collect(self) -> Iterator[Metric]:
            told = json_object(health())
            for names, family in ((_GAUGES, GaugeMetricFamily), (_COUNTERS, CounterMetricFamily)):
                for name, (path, text) in names.items():
                    value = _at(told, path)
                    if value is not None:
                        yield family(name, text, value=value)

    registry = prometheus_client.CollectorRegistry()
    registry.register(Health())
    host, port = parse(address)
    try:
        prometheus_client.start_http_server(port, host, registry)
    except OSError as error:
        raise Unusable(f"health.metrics {address}: {error.strerror}; name another address") from error


def _at(told: Mapping[str, Any], path: str) -> float | None:
    value: Any = told
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None
