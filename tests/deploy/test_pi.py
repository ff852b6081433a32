"""The measuring that somebody with a Raspberry Pi does for us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.deploy.test_deb import ROOT

EXPECTED = ROOT / "docs/speed/expected.json"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, in a hurry."""
    monkeypatch.syspath_prepend(ROOT / "deploy/pi")
    import passes

    for name, value in (("PASSES", 2), ("WARM", 1), ("THREADS", (1,))):
        monkeypatch.setattr(passes, name, value)
    return passes


def test_a_row_for_each_pass_beside_what_is_expected(passes: ModuleType) -> None:
    expected = json.loads(EXPECTED.read_bytes())
    head, _, *rows = passes.table(expected)
    assert head.count("|") == 5
    assert head.endswith("| expected, Raspberry Pi 4 | expected, Raspberry Pi 5 |")
    assert len(rows) == len(expected["Raspberry Pi 4"]) + 1  # the OCR with one row and with four
    for row in rows:
        what, took, pi4, pi5 = row.strip("| ").split(" | ")
        middle, high = (float(one.strip("()")) for one in took.split())
        assert 0 < middle <= high, what
        for cell in (pi4, pi5):
            least, most = map(float, cell.split(" to "))
            assert 0 < least < most, what
    assert rows[-1].startswith("| ocr, 4 rows ")


def test_the_board_s_complaints_in_words(passes: ModuleType) -> None:
    assert passes.troubles("throttled=0x0\n") == "now no complaint, since boot none"
    assert passes.troubles("throttled=0x50005\n") == (
        "now supply too weak and throttled, since boot supply too weak and throttled"
    )
    assert passes.troubles("VCHI initialization failed\n") == "vcgencmd: VCHI initialization failed"


def test_it_takes_the_python_that_has_an_edge_anpr(tmp_path: Path) -> None:
    # One that knows where it is, and notes what it was asked to run instead of running it.
    noted = tmp_path / "noted"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" != -c ] || exec env PYTHONPATH={ROOT} {sys.executable} "$@"\necho "$PWD $*" >{noted}\n'
    )
    python.chmod(0o755)
    subprocess.run([ROOT / "deploy/pi/bench.sh"], env={"PATH": os.environ["PATH"], "PYTHON": str(python)}, check=True)
    assert noted.read_text().split() == ["/", str(ROOT / "deploy/pi/passes.py"), str(EXPECTED)]
