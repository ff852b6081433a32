from __future__ import annotations

import io
import json
from typing import Any

import pytest

from edge_anpr.privacy import seal
from edge_anpr.tools.terminal import HitPrinter, progress, table

TOPIC = "anpr/v1/town/bridge/pole-07/"
HIT = {
    "schema": "anpr.hit/1",
    "hit_id": "ab12cd34ef567890",
    "phase": "first",
    "captured_at": "2026-05-01T12:34:56.789Z",
    "read": "12ABC3",
    "country": "NL",
    "layout": "NL sidecode 7",
    "char_confidence": [0.97, 0.91, 0.99],
    "frames": 4,
    "agree": 3,
    "match": {"class": "exact", "listed": "12ABC3", "reason": "stolen"},
}
HEALTH = {
    "at": "2026-05-01T12:35:00.000Z",
    "recogniser": {"state": "running", "fps": 12.5, "passages": 7, "hits": 1, "latency_ms": {"p50": 9, "p95": 14.2}},
    "publisher": {"connected_s": 31.4, "outbox": {"hits": 2, "bytes": 999}},
}


def printed(topic: str, body: Any) -> str:
    out = io.StringIO()
    HitPrinter(out)(TOPIC + topic, body if isinstance(body, bytes) else json.dumps(body).encode())
    text = out.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1, "one message is one line"
    assert "\x1b" not in text, "no colours where there is no terminal"
    return text


def test_a_hit_tells_everything_in_one_line() -> None:
    line = printed("hit/cam-1", HIT)
    for part in ("12:34:56Z", "HIT first", "12-ABC-3", "NL", "exact", "stolen", "3/4 frames", "91%"):
        assert part in line
    assert "listed" not in line


@pytest.mark.parametrize(("phase", "word"), [("final", "HIT final"), ("withdrawn", "WITHDRAWN"), ("?", "HIT ?")])
def test_a_phase_is_shown(phase: str, word: str) -> None:
    assert word in printed("hit/cam-1", {**HIT, "phase": phase})


def test_the_listed_plate_is_shown_when_it_is_not_what_was_read() -> None:
    hit = {**HIT, "match": {"class": "confusable", "listed": "I2ABC3", "reason": "stolen"}}
    assert "confusable (listed I2ABC3)" in printed("hit/cam-1", hit)


def test_a_sealed_hit_is_its_size_and_no_garbage() -> None:
    sealed = seal.seal(json.dumps(HIT).encode(), seal.new_pair("centre")[1])
    assert printed("hit/cam-1", sealed) == f"           hit         sealed, {len(sealed)} bytes\n"


def test_a_heartbeat_is_one_compact_line() -> None:
    line = printed("health", HEALTH)
    for part in (
        "12:35:00Z",
        "running",
        "fps 12.5",
        "passages 7",
        "hits 1",
        "outbox 2",
        "broker s 31.4",
        "p95 ms 14.2",
    ):
        assert part in line


def test_status_and_birth_are_shown() -> None:
    assert "lost" in printed("status", {"status": "lost", "at": HEALTH["at"]})
    assert "list town-7" in printed("birth", {"version": "0.1", "list": {"list_id": "town-7", "entries": 3}})


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b"{}",
     b'{"match":3,"char_confidence":"x","read":null,"layout":1}',
     b'{"recogniser":[],"publisher":{"outbox":7},"at":12}', b'{"read":"\\u001b[2J\\n\\r","char_confidence":[]}'],
)  # fmt: skip
@pytest.mark.parametrize("topic", ["hit/cam-1", "health", "status", "birth", "unheard-of", ""])
def test_nothing_that_arrives_can_stop_it(topic: str, body: bytes) -> None:
    printed(topic, body)


def test_markup_is_text() -> None:
    assert "[red]" in printed("hit/cam-1", {**HIT, "country": "[red]"})


def test_a_withdrawn_hit_names_nobody() -> None:
    line = printed("hit/cam-1", {**HIT, "phase": "withdrawn", "read": None, "country": None})
    assert "WITHDRAWN   -           -   exact (listed 12ABC3)" in line


def test_a_table() -> None:
    out = io.StringIO()
    table("speed", ["stage", "ms"], [["detect", 2.5], ["ocr", 14.0]], out)
    assert "speed" in out.getvalue()
    assert "  2.5 │" in out.getvalue()


def test_progress_is_for_terminals_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, "reading") as step:
        step(4)
        step(6)
    assert capsys.readouterr() == ("", "")


def test_alarms_are_told_in_words_with_their_beginning() -> None:
    out = io.StringIO()
    tell = HitPrinter(out)
    tell("anpr/v1/a/b/c/alarm", b'{"active":[{"code":"disarmed","since":"2026-05-01T12:00:00.000Z","text":"no list"}]}')
    tell("anpr/v1/a/b/c/alarm", b'{"active":[]}')
    tell("anpr/v1/a/b/c/alarm", b'{"active":[3, {"text": "\\u001b[31m"}]}')
    first, second, third = out.getvalue().splitlines()
    assert "disarmed since 12:00:00Z: no list" in first
    assert "none stands" in second
    assert "\x1b" not in third
