"""What `pip install .` gives to somebody who has no checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_models_demo_and_schema_and_nothing_heavy(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "models/detector.onnx", "models/detector.json", "models/ocr.onnx", "models/ocr.json",
        "vision/golden.npz", "demo/clip.mp4", "demo/config.yaml", "demo/watchlist.json", "unit/hit.schema.json",
        "centre/migrations/env.py", "centre/migrations/versions/v0001_records.py",
    ):  # fmt: skip
        assert f"edge_anpr/{name}" in names
    assert not [name for name in names if "training" in name or "tests" in name]
    assert wheel.stat().st_size < 5_000_000


def test_an_installed_package_reads_plates_far_from_any_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1));"
        "import edge_anpr; assert edge_anpr.__file__.startswith(sys.path[0]), edge_anpr.__file__;"
        "from edge_anpr.cli import main; main()"
    )
    clip = site / "edge_anpr" / "demo" / "clip.mp4"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, site, "read", clip, "--no-frames", "--every", "2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 10


@pytest.mark.parametrize(
    ("daemon", "without"),
    [
        ("publisher", {"numpy", "cv2", "onnxruntime", "sqlalchemy", "rich", "edge_anpr.cli_centre"}),
        (
            "recogniser",
            {
                "paho",
                "sqlalchemy",
                "rich",
                "matplotlib",
                "importlib.metadata",
                "edge_anpr.cli_centre",
                "edge_anpr.tools",
            }
            | {f"edge_anpr.camera.{kind}" for kind in ("gstreamer", "picamera2", "rtsp", "v4l2")},
        ),
    ],
)
def test_a_daemon_loads_nothing_that_it_does_not_need(daemon: str, without: set[str]) -> None:
    code = f"import sys; from edge_anpr import cli, config; import edge_anpr.unit.{daemon}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert "edge_anpr.cli" in loaded
    assert not without & loaded
