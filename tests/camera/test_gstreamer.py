"""Real pipelines of the system's GStreamer; python3-gi is the distribution's, and so is the Python that it is for."""

import importlib
import importlib.util
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_anpr.camera.gstreamer import GstreamerCamera, jetson
from edge_anpr.camera.opencv import SourceUnusable
from edge_anpr.datatypes import Gray
from edge_anpr.errors import SourceLost

SYSTEM = Path("/usr/lib/python3/dist-packages")
Open = Callable[..., GstreamerCamera]


def bindings() -> None:
    """Import GStreamer's bindings, from outside this venv if need be, and nothing else from there."""
    away = importlib.util.find_spec("gi") is None
    if away and not (SYSTEM / "gi").is_dir():
        pytest.fail("python3-gi is missing; `make test` installs it")
    if away and not list((SYSTEM / "gi").glob(f"_gi.cpython-{sys.version_info[0]}{sys.version_info[1]}-*.so")):
        pytest.skip("python3-gi is for the system's Python, and this is another version")
    sys.path += [str(SYSTEM)] * away
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its importer is of an older fashion than Python 3.11 likes
            gi = importlib.import_module("gi")
            gi.require_version("Gst", "1.0")
            gi.require_version("GstVideo", "1.0")
            importlib.import_module("gi.repository.Gst")
            importlib.import_module("gi.repository.GstVideo")
    except (ImportError, ValueError) as error:
        pytest.fail(f"{error}; `make test` installs it")
    finally:
        if away:
            sys.path.remove(str(SYSTEM))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    bindings()
    made: list[GstreamerCamera] = []

    def build(pipeline: str, stall_s: float = 10.0) -> GstreamerCamera:
        made.append(GstreamerCamera(pipeline, stall_s))
        return made[-1]

    yield build
    for camera in made:
        camera.close()


def all_of(camera: GstreamerCamera, seen: list[Gray]) -> None:
    """Read to the end, which raises."""
    while True:
        frame = camera.read()
        assert frame.lores is frame.luma
        seen.append(frame.luma.copy())
        camera.recycle(frame)
        assert not frame.luma.any()


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """Three NV12 pictures of 50×6 in rows of 64 bytes, as a camera's memory has them; the second one begins at 100."""
    raw = b""
    for index in range(3):
        picture = np.full((9, 64), 0xEE, np.uint8)
        picture[:6, :50] = (100 * index + np.arange(6)[:, None] * 5 + np.arange(50)[None]).astype(np.uint8)
        raw += picture.tobytes()
    (tmp_path / "raw").write_bytes(raw)
    return (
        f"filesrc location={tmp_path / 'raw'} blocksize=576 ! rawvideoparse format=nv12 width=50 height=6 "
        'framerate=30/1 plane-strides="<64,64>" plane-offsets="<0,384>" frame-size=576 ! appsink'
    )


def test_the_luminance_of_nv12_with_padded_rows_is_taken_as_it_is_and_the_end_is_told(
    opened: Open, recording: str
) -> None:
    camera = opened(recording.replace("appsink", "queue ! identity sleep-time=20000 ! appsink"))
    picture = (np.arange(6)[:, None] * 5 + np.arange(50)[None]).astype(np.uint8)
    seen: list[Gray] = []
    with pytest.raises(SourceLost, match="has ended"):
        all_of(camera, seen)
    assert seen
    for luma in seen:
        assert luma[0, 0] in {0, 100, 200}
        assert np.array_equal(luma - picture, np.full((6, 50), luma[0, 0]))


@pytest.mark.parametrize("pixels", ["GRAY8", "I420", "NV12"])
def test_a_live_pipeline_gives_stamped_frames(opened: Open, pixels: str) -> None:
    camera = opened(
        "videotestsrc is-live=true pattern=white ! "
        f"video/x-raw,format={pixels},width=322,height=48,framerate=60/1 ! appsink"
    )
    frames = [camera.read() for _ in range(3)]
    for frame in frames:
        assert frame.luma.shape == (48, 322)
        assert frame.luma.min() >= 235
        assert 0 <= time.monotonic_ns() - frame.captured_ns < 5_000_000_000
    stamps = [frame.captured_ns for frame in frames]
    assert stamps == sorted(set(stamps))
    assert [frame.index for frame in frames] == [0, 1, 2]


def test_only_the_latest_picture_waits(opened: Open) -> None:
    camera = opened("videotestsrc is-live=true ! video/x-raw,format=GRAY8,framerate=200/1 ! appsink")
    camera.read()
    time.sleep(0.1)
    age_s = (time.monotonic_ns() - camera.read().captured_ns) / 1e9
    assert age_s < 0.09


def test_the_jetsons_pipeline_with_a_source_that_is_here(opened: Open) -> None:
    pipeline = jetson(1, 640, 360, 30, 1000, 8.0)
    assert 'sensor-id=1 exposuretimerange="13000 1000000" gainrange="1 8" !' in pipeline
    here = pipeline.replace("(memory:NVMM)", "").replace("nvvidconv", "videoconvert")
    here = "videotestsrc is-live=true !" + here.partition("!")[2]
    assert opened(here).read().luma.shape == (360, 640)
    with pytest.raises(SourceUnusable, match=r"nvarguscamerasrc.*JetPack"):
        opened(pipeline)


def test_no_frame_in_time_is_a_loss(opened: Open) -> None:
    camera = opened("videotestsrc is-live=true ! valve drop=true ! appsink", stall_s=0.05)
    with pytest.raises(SourceLost, match=r"no frame for 0\.05 s"):
        camera.read()


def test_an_error_is_a_loss_in_words_without_the_pipelines_secrets(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(SourceLost, match="failed: Resource not found"):
        opened(f"filesrc location={tmp_path}/none ! appsink").read()
    with pytest.raises(SourceUnusable) as caught:
        opened("videotestsrc pattern=rtsp://me:secret@camera ! appsink")
    assert "quotes an address" in str(caught.value)
    assert "secret" not in str(caught.value)
    camera = opened("videotestsrc ! video/x-raw,format=GRAY8 ! identity error-after=3 ! appsink")
    with pytest.raises(SourceLost, match="failed"):
        all_of(camera, [])


@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        ("nosuchcamera ! appsink", 'no element "nosuchcamera" here; gst-inspect-1.0'),
        ("videotestsrc ! ! appsink", "syntax error; try it with gst-launch-1.0"),
        ("videotestsrc nosuch=1 ! appsink", 'no property "nosuch"'),
        ("videotestsrc ! fakesink", "0 appsinks"),
        ("appsink", "1 appsinks with a source"),
        ("videotestsrc ! tee name=t ! appsink t. ! appsink", "2 appsinks"),
    ],
)
def test_a_pipeline_that_cannot_work_is_refused(opened: Open, pipeline: str, says: str) -> None:
    with pytest.raises(SourceUnusable, match=says):
        opened(pipeline)


def test_other_formats_are_refused_with_the_remedy(opened: Open) -> None:
    with pytest.raises(SourceUnusable, match="videoconvert"):
        opened("videotestsrc ! video/x-raw,format=RGB ! appsink").read()


def test_what_is_missing_is_named(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    gst = importlib.import_module("gi.repository.Gst")
    plain = types.SimpleNamespace(map=len)
    with monkeypatch.context() as without:
        without.setattr(gst, "Buffer", plain)
        with pytest.raises(SourceUnusable, match=r"python3-gst-1\.0 is missing"):
            opened("videotestsrc ! appsink")
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(SourceUnusable, match="apt install python3-gi"):
        opened("videotestsrc ! appsink")
