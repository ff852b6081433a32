"""The demo's files agree with each other: clip, truth, list, config and credits."""

import json
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_anpr import config
from edge_anpr.privacy import keys
from edge_anpr.watch import opening, watchlist

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "edge_anpr" / "demo"


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    body: dict[str, Any] = json.loads((DEMO / "truth.json").read_text("utf-8"))
    return body


def test_clip_is_what_the_truth_says(truth: dict[str, Any]) -> None:
    path = DEMO / truth["clip"]
    assert path.stat().st_size <= 3_000_000
    clip = cv2.VideoCapture(str(path))
    assert clip.isOpened()
    assert clip.get(cv2.CAP_PROP_FPS) == pytest.approx(truth["fps"]) == 12
    sizes = set()
    frames = 0
    while (read := clip.read())[0]:
        sizes.add(read[1].shape)
        frames += 1
    assert (frames, sizes) == (truth["frames"], {(480, 640, 3)})
    assert 30 <= frames / truth["fps"] <= 45


def test_passages_follow_each_other_with_an_empty_road_between(truth: dict[str, Any]) -> None:
    passages = truth["passages"]
    assert len(passages) >= 8
    assert {p["light"] for p in passages} == {"day", "dusk"}
    assert len({p["plate"] for p in passages}) == len(passages)
    for before, after in pairwise(passages):
        assert (after["first_frame"] - before["last_frame"] - 1) / truth["fps"] >= 1.2
    for passage in passages:
        assert 2 <= (passage["last_frame"] - passage["first_frame"] + 1) / truth["fps"] <= 3


def test_each_plate_is_large_and_inside_long_enough(truth: dict[str, Any]) -> None:
    for passage in truth["passages"]:
        wide = 0
        for number, quad in passage["quads"].items():
            assert passage["first_frame"] <= int(number) <= passage["last_frame"]
            corners = np.array(quad)
            assert (corners > 0).all()
            assert (corners < (640, 480)).all()
            wide += 90 <= float(np.linalg.norm(corners[1] - corners[0])) <= 230
        assert wide >= 8


def test_list_is_accepted_and_names_two_of_the_plates(truth: dict[str, Any]) -> None:
    signed, key_id, _ = opening.read(
        (DEMO / "watchlist.signed").read_bytes(), opening.Trust(keys.trusted([DEMO / "authority.pub"]))
    )
    assert key_id
    assert signed == watchlist.parse((DEMO / "watchlist.json").read_bytes())
    opening.judge(signed.header, "demo-pole", datetime(2026, 12, 1, tzinfo=UTC))
    entries = {plate for plate, _ in signed.plates()}
    listed = [p for p in truth["passages"] if p["listed"]]
    assert sorted(p["light"] for p in listed) == ["day", "dusk"]
    shown = {p["plate"] for p in truth["passages"]}
    assert entries & shown == {p["plate"] for p in listed}
    # a decoy that a single misread character turns into a shown plate would make the demo a matter of luck
    assert all(_distance(decoy, plate) > 1 for decoy in entries - shown for plate in shown)
    assert not set("".join(p["plate"] for p in listed)) & set("O0I1")


def test_no_plate_can_have_been_issued_in_the_netherlands(truth: dict[str, Any]) -> None:
    entries = json.loads((DEMO / "watchlist.json").read_text("utf-8"))["entries"]
    for plate in [p["plate"] for p in truth["passages"]] + [e["plate"] for e in entries]:
        assert re.fullmatch(r"[A-Z0-9]{6,7}", plate)
        assert re.search(r"[AEIOUCQ]", plate)
        # the series of 1951 to 1978 had vowels: one pair of letters and four digits
        assert len(re.findall(r"[A-Z]", plate)) > 2


def test_config_is_valid_and_names_the_clip(truth: dict[str, Any]) -> None:
    unit = config.load(DEMO / "config.yaml")
    assert isinstance(unit.camera, config.ClipCamera)
    assert unit.camera.path == DEMO / truth["clip"]
    assert unit.watchlist.path == DEMO / "watchlist.signed"
    assert unit.watchlist.keys == [DEMO / "authority.pub"]
    assert unit.mqtt.host is None
    assert unit.topic == "anpr/v1/demo/demo-street/demo-pole"


def test_credits_name_every_photo() -> None:
    scenery = (ROOT / "models" / "training" / "demo_scenery.py").read_text("utf-8")
    photos = set(re.findall(r'"([0-9a-f]{16})"', scenery))
    assert photos
    assert set(re.findall(r"`([0-9a-f]{16})`", (DEMO / "CREDITS.md").read_text("utf-8"))) == photos


def test_strip_is_small() -> None:
    assert (ROOT / "docs" / "demo.jpg").stat().st_size <= 120_000


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
