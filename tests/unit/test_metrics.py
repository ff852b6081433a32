"""Health for Prometheus: over HTTP, what the heartbeat says, without labels."""

from __future__ import annotations

import json
import sys
import urllib.request

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import metrics
from tests.conftest import free_port

HEALTH = {
    "recogniser": {"fps": 12.5, "frames": 700, "passages": 9, "hits": True, "latency_ms": {"p95": 8.1}},
    "publisher": {"outbox": {"hits": 3, "bytes": 27000, "oldest_s": 4}, "sent": 12, "connected_s": None},
    "clock": {"sync": False},
}


def scraped(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return [line for line in answer.read().decode().splitlines() if not line.startswith("#")]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_the_heartbeat_says_is_what_prometheus_reads() -> None:
    said, port = [json.dumps(HEALTH).encode()], free_port()
    metrics.serve(f"127.0.0.1:{port}", lambda: said[-1])
    lines = scraped(port)
    for line in (
        "edge_anpr_frames_per_second 12.5",
        "edge_anpr_frame_p95_milliseconds 8.1",
        "edge_anpr_frames_total 700.0",
        "edge_anpr_outbox_bytes 27000.0",
        "edge_anpr_messages_sent_total 12.0",
        "edge_anpr_clock_synchronised 0.0",
    ):
        assert line in lines
    assert not any("{" in line or "connected_seconds" in line for line in lines)
    said.append(b"\xff")
    assert scraped(port) == []
    with pytest.raises(Unusable, match=r"health\.metrics 127\.0\.0\.1:\d+: .*in use; name another"):
        metrics.serve(f"127.0.0.1:{port}", lambda: b"")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(Unusable, match=r"pip install 'edge-anpr\[metrics\]'"):
        metrics.serve("127.0.0.1:1", lambda: b"")
