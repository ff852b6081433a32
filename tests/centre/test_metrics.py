"""What Prometheus gets, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_anpr.centre import metrics
from edge_anpr.centre.arrival import Taken
from edge_anpr.centre.fleet import Alarm, State, Verdict
from edge_anpr.centre.metrics import Figures
from edge_anpr.errors import Unusable
from edge_anpr.unit.clock import iso
from tests.centre.records import START, UNIT, message
from tests.conftest import free_port

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboard.json"


def verdict(state: State, **more: Any) -> Verdict:
    return Verdict(UNIT, state, more.pop("alarms", ()), frozenset(), more.pop("missing", None), 4.0, 30.0, **more)


@pytest.fixture
def figures() -> Figures:
    made = Figures()
    soon: dict[str, Any] = {"captured_at": iso(START - timedelta(seconds=0.3))}
    batch = [
        message(1, "first", **soon), message(2, "first", captured_at=iso(START + timedelta(seconds=9))),
        message(3, "final", **soon), message(4, "first", late=True, **soon),
        message(5, "first", clock={"sync": False, "error_ms": None}, **soon), message(6, "first", **soon),
    ]  # fmt: skip
    made.taken(batch, [Taken.STORED] * 5 + [Taken.DIFFERS], START)
    made.poisoned(UNIT)
    made.receipted(2)
    made.connected(connected=True)
    made.store_down()
    alarms = (Alarm("silent", "12ABC3"),)
    told = ("list-old", "12ABC3", 'x"} 1', "disk full")
    made.judged([
        verdict(State.SILENT, alarms=alarms, told=told, missing=2, outbox_hits=7.0, outbox_bytes=9.0, fps=12.5,
                temperature_c=61.0)
    ])  # fmt: skip
    return made


def scraped(figures: Figures) -> str:
    port = free_port()
    end = metrics.serve(f"127.0.0.1:{port}", figures.registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    finally:
        end()


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_of_centre_and_units_are_served_and_no_plate(figures: Figures) -> None:
    text = scraped(figures)
    found = samples(text)
    expected = {
        ("edge_anpr_hit_messages_total", "stored", UNIT): 5,
        ("edge_anpr_hit_messages_total", "differs", UNIT): 1,
        ("edge_anpr_poison_total", UNIT): 1,
        ("edge_anpr_receipts_total",): 2,
        ("edge_anpr_delivery_seconds_count",): 2,
        ("edge_anpr_delivery_seconds_bucket", "0.1"): 1,
        ("edge_anpr_delivery_seconds_sum",): 0.3,
        ("edge_anpr_broker_connected",): 1,
        ("edge_anpr_store_down_total",): 1,
        ("edge_anpr_unit_up", UNIT): 0,
        ("edge_anpr_unit_last_seen_age_seconds", UNIT): 4,
        ("edge_anpr_unit_outbox_hits", UNIT): 7,
        ("edge_anpr_unit_frames_per_second", UNIT): 12.5,
        ("edge_anpr_unit_temperature_celsius", UNIT): 61,
        ("edge_anpr_unit_missing_messages", UNIT): 2,
        ("edge_anpr_unit_alarm", "silent", UNIT): 1,
        ("edge_anpr_unit_alarm", "list-old", UNIT): 1,
        ("edge_anpr_unit_alarm", "other", UNIT): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert "12ABC3" not in text
    assert len([key for key in found if key[0] == "edge_anpr_unit_alarm"]) == 3


def test_what_is_not_known_is_not_told(figures: Figures) -> None:
    figures.judged([verdict(State.UNHEARD)])
    names = {key[0] for key in samples(scraped(figures)) if key[-1] == UNIT}
    assert "edge_anpr_unit_up" not in names
    assert "edge_anpr_unit_outbox_hits" not in names
    assert "edge_anpr_unit_interval_seconds" in names


def test_a_port_alone_is_this_machines(figures: Figures) -> None:
    port = free_port()
    end = metrics.serve(str(port), figures.registry)
    with pytest.raises(Unusable, match="Address already in use; name another address"):
        metrics.serve(f"127.0.0.1:{port}", figures.registry)
    end()
    metrics.serve(str(port), figures.registry)()  # and the port is free again
    with pytest.raises(Unusable, match="takes HOST:PORT"):
        metrics.serve("here", figures.registry)


def test_the_dashboard_has_what_grafana_needs() -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time", "version"} <= set(board)
    assert board.get("id") is None  # or it would replace another one
    variables = {variable["name"] for variable in board["templating"]["list"]}
    ids: list[int] = []
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert {"id", "type", "title", "gridPos", "targets", "datasource", "fieldConfig", "options"} <= set(panel)
        ids.append(panel["id"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, "panels lie on each other"
        taken |= cells
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables
    assert len(set(ids)) == len(ids)


def test_the_dashboard_asks_only_for_what_is_exported(figures: Figures) -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [str(variable["query"]) for variable in board["templating"]["list"]]
    exported: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(scraped(figures)):
        for sample in family.samples:
            exported.setdefault(sample.name, set()).update(sample.labels)
    names = {name for query in asked for name in re.findall(r"edge_anpr_\w+", query)}
    assert names <= set(exported)
    for query in asked:
        for name, labels in re.findall(r"(edge_anpr_\w+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)=~?\"", labels)) <= exported[name]
    assert {name for name in exported if name.startswith("edge_anpr_unit_")} <= names, "an exported figure is not shown"
