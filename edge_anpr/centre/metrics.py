"""Prometheus figures of the centre and its units: labels are units and alarm codes, never a plate, list or entry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_anpr.centre.arrival import Arrived, Taken
from edge_anpr.centre.fleet import State, Verdict
from edge_anpr.errors import Unusable

DELIVERY_S = (0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 3600, 86400)
_CODE = re.compile(r"[a-z][a-z0-9-]{0,39}")


class Figures:
    """Counts what the receiver does, and shows what the fleet's judge last found. Threads may read while one counts."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._messages = Counter(
            "edge_anpr_hit_messages", "Messages of hits, by what became of them.", ("unit", "outcome"),
            registry=self.registry,
        )  # fmt: skip
        self._poison = Counter(
            "edge_anpr_poison", "Messages kept aside: they could not be opened, or were no hits.", ("unit",),
            registry=self.registry,
        )  # fmt: skip
        self._receipts = Counter("edge_anpr_receipts", "Messages receipted.", registry=self.registry)
        self._delivery = Histogram(
            "edge_anpr_delivery_seconds", "From the picture to the records, of first messages that were not late.",
            buckets=DELIVERY_S, registry=self.registry,
        )  # fmt: skip
        self._connected = Gauge("edge_anpr_broker_connected", "1 while the broker is heard.", registry=self.registry)
        self._down = Counter("edge_anpr_store_down", "Times that the database did not answer.", registry=self.registry)
        self._units = _Units()
        self.registry.register(self._units)

    def taken(self, batch: Sequence[Arrived], outcomes: Sequence[Taken], wall: datetime) -> None:
        """The store took these, when the centre's clock said ``wall``."""
        for arrived, outcome in zip(batch, outcomes, strict=True):
            self._messages.labels(arrived.unit, outcome.value).inc()
            body = arrived.payload
            # A final tells the time of the hit as well, and comes when the vehicle has left: that is no delivery time.
            if outcome is Taken.STORED and not arrived.late and body["phase"] == "first" and body["clock"]["sync"]:
                took = wall - datetime.fromisoformat(body["captured_at"])
                self._delivery.observe(max(took.total_seconds(), 0.0))

    def poisoned(self, unit: str) -> None:
        """A message was kept aside without being a hit."""
        self._poison.labels(unit).inc()

    def receipted(self, number: int) -> None:
        """So many messages were receipted."""
        self._receipts.inc(number)

    def connected(self, connected: bool) -> None:
        """Whether the broker is heard."""
        self._connected.set(connected)

    def store_down(self) -> None:
        """The database did not answer."""
        self._down.inc()

    def judged(self, verdicts: Sequence[Verdict]) -> None:
        """How the units are now."""
        self._units.verdicts = tuple(verdicts)


class _Units(Collector):
    def __init__(self) -> None:
        self.verdicts: tuple[Verdict, ...] = ()

    def collect(self) -> Iterator[Metric]:
        verdicts = self.verdicts
        for name, help_, value in _GAUGES:
            family = GaugeMetricFamily(f"edge_anpr_unit_{name}", help_, labels=("unit",))
            for verdict in verdicts:
                found = value(verdict)
                if found is not None:
                    family.add_metric((verdict.unit,), found)
            yield family
        alarms = GaugeMetricFamily("edge_anpr_unit_alarm", "1 for each alarm that stands.", labels=("unit", "code"))
        for verdict in verdicts:
            codes = {alarm.code for alarm in verdict.alarms} | set(verdict.told)
            for code in sorted({code if _CODE.fullmatch(code) else "other" for code in codes}):
                alarms.add_metric((verdict.unit, code), 1)
        yield alarms


_UP: dict[State, float | None] = {State.SILENT: 0.0, State.UNHEARD: None}

_GAUGES: tuple[tuple[str, str, Callable[[Verdict], float | None]], ...] = (
    ("up", "1 while the unit is heard of, 0 when it is silent.", lambda unit: _UP.get(unit.state, 1.0)),
    ("last_seen_age_seconds", "Since the unit itself last said something.", lambda unit: unit.age_s),
    ("interval_seconds", "Between the unit's healths, as it says.", lambda unit: unit.interval_s),
    ("outbox_hits", "Hits that wait on the unit.", lambda unit: unit.outbox_hits),
    ("outbox_bytes", "Bytes that wait on the unit.", lambda unit: unit.outbox_bytes),
    ("frames_per_second", "Frames that the unit looks at.", lambda unit: unit.fps),
    ("temperature_celsius", "Of the unit's processor.", lambda unit: unit.temperature_c),
    ("missing_messages", "Messages of hits that never came.", lambda unit: unit.missing),
)


def serve(address: str, registry: CollectorRegistry) -> Callable[[], None]:
    """Serve the figures at HOST:PORT, or at PORT of this machine alone; call the value to end it. Raises Unusable."""
    host, _, port = address.rpartition(":")
    host = (host or "127.0.0.1").removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise Unusable(f"--metrics {address}: takes HOST:PORT, like 127.0.0.1:9108, or PORT for this machine alone")
    try:
        server, thread = start_http_server(int(port), host, registry)
    except OSError as error:
        raise Unusable(f"--metrics {address}: {error.strerror}; name another address") from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return end
