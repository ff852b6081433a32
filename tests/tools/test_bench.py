from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_anpr.cli import main
from edge_anpr.tools import machine

FRAMES = 12


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A second of the demo, in which a vehicle passes."""
    path, demo = tmp_path / "second.avi", cv2.VideoCapture("edge_anpr/demo/clip.mp4")
    demo.set(cv2.CAP_PROP_POS_FRAMES, 25)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (640, 480))
    for _ in range(FRAMES):
        out.write(demo.read()[1])
    out.release()
    return path


def run(*words: str) -> str:
    said = CliRunner().invoke(main, ["bench", *words])
    assert said.exit_code == 0, said.output
    return said.stdout


def test_tells_what_a_frame_costs_beside_the_networks_and_compares(clip: Path, tmp_path: Path) -> None:
    told = json.loads(run(str(clip), "--rounds", "2", "--lores", "480", "--json"))
    assert (told["picture"], told["lores"], told["frames"]) == ("640x480", "480x360", 2 * FRAMES)
    assert 0 < told["looks"] <= told["frames"] - told["asleep"]
    assert 0 < told["readings"] <= told["plates"]
    assert told["passages"] >= 2
    bare, look = told["ms"]["bare"]["p50"], told["ms"]["look"]["p50"]
    assert 0 < bare < look
    assert told["ms"]["decide"]["p95"] > 0.02  # plates are fused and asked for, in some look after the first
    assert 1 < told["ratio_to_bare"]["p50"] < 4
    assert told["ms"]["bare"]["p50"] < told["ms"]["full"]["p50"]  # 4 to 3 needs a smaller input than the network's own
    assert 0.3 < told["ratio_to_full"]["p50"] < told["ratio_to_bare"]["p50"]
    assert told["cpu_ms_per_frame"] < look + told["ms"]["attention"]["p50"] + 1
    assert 30 < told["rss_mb"] <= told["peak_mb"]
    assert told["allocations"]["peak_kb"] > 0

    told["ms"]["look"]["p50"] *= 1000
    (tmp_path / "old.json").write_text(json.dumps(told))
    said = run(str(clip), "--rounds", "1", "--compare", str(tmp_path / "old.json"))
    assert "-100 %" in next(row for row in said.splitlines() if "look, ms" in row)
    assert "times the networks'" in said.splitlines()[-1]


def test_a_picture_will_do_and_what_is_none_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "road.png"), np.full((240, 320), 90, np.uint8))
    assert "320x240" in run(str(tmp_path / "road.png"), "--rounds", "1")
    (tmp_path / "notes.txt").write_text("no picture")
    said = CliRunner().invoke(main, ["bench", str(tmp_path / "notes.txt")])
    assert said.exit_code != 0


def test_a_pis_power_is_the_sum_over_its_rails() -> None:
    told = (
        "   3V7_WL_SW_A current(0)=0.10000000A\n   VDD_CORE_A current(7)=2.00000000A\n"
        "   3V7_WL_SW_V volt(8)=3.70000000V\n   VDD_CORE_V volt(15)=0.90000000V\n   EXT5V_V volt(24)=5.10000000V\n"
    )
    assert machine.watts_of(told) == pytest.approx(2.17)
    assert machine.watts_of("vcgencmd: command not known") is None
