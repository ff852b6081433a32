import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_anpr import cli, demo
from edge_anpr.privacy import process
from edge_anpr.unit.outbox import Outbox

TRUTH = json.loads((demo.FOLDER / "truth.json").read_text())
AUTHORITY = json.dumps(str(demo.FOLDER / "authority.pub"))
CLIP = demo.FOLDER / TRUTH["clip"]


def edge_anpr(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_anpr", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("command", ["recognise", "publish"])
def test_who_sees_plates_starts_anew_without_the_store_of_freed_blocks(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def restart() -> None:
        raise InterruptedError

    monkeypatch.setattr(process, "restart_uncached", restart)
    assert isinstance(CliRunner().invoke(cli.main, [command]).exception, InterruptedError)


def test_read_finds_every_plate_of_the_demo_clip_and_no_other() -> None:
    done = edge_anpr("read", CLIP, "--no-frames")
    assert (done.returncode, done.stderr) == (0, "")
    passages = lines(done.stdout)
    assert [passage["read"] for passage in passages] == [passage["plate"] for passage in TRUTH["passages"]]
    for passage, truth in zip(passages, TRUTH["passages"], strict=True):
        assert set(passage) == {
            "type", "source", "track", "read", "confidence", "probability", "country", "frames",
            "first_frame", "last_frame",
        }  # fmt: skip
        assert passage["first_frame"] <= truth["last_frame"]
        assert passage["last_frame"] >= truth["first_frame"]


def test_read_tells_each_frame_in_pixels_of_the_picture(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = edge_anpr("read", CLIP, "--every", "3", "--out", out, "--threads", "2")
    assert (done.returncode, done.stdout) == (0, "")
    frames = [line for line in lines(out.read_text()) if line["type"] == "frame"]
    assert [frame["frame"] for frame in frames] == list(range(0, TRUTH["frames"], 3))
    assert set(frames[0]) == {"type", "source", "frame", "ms", "reads"}
    assert set(frames[0]["ms"]) == {"detect", "ocr", "total"}  # type: ignore[call-overload]
    reads = [read for frame in frames for read in frame["reads"]]  # type: ignore[attr-defined]
    assert reads
    for read in reads:
        assert set(read) == {"text", "confidence", "char_confidence", "box", "quad", "cut", "track"}
        assert len(read["char_confidence"]) == len(read["text"])
        assert np.array(read["quad"]).shape == (4, 2)
        assert -20 < read["box"][0] < 640


def test_a_passage_stays_one_however_few_frames_are_looked_at() -> None:
    done = edge_anpr("read", CLIP, "--no-frames", "--every", "4")
    assert [passage["read"] for passage in lines(done.stdout)] == [item["plate"] for item in TRUTH["passages"]]


def test_a_folder_is_read_as_unrelated_pictures_and_broken_ones_are_named(tmp_path: Path) -> None:
    capture = cv2.VideoCapture(str(CLIP))
    first, second = TRUTH["passages"][:2]
    for name, passage in (("a", first), ("b", second)):
        capture.set(cv2.CAP_PROP_POS_FRAMES, (passage["first_frame"] + passage["last_frame"]) // 2)
        cv2.imwrite(str(tmp_path / f"{name}.png"), capture.read()[1])
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = edge_anpr("read", tmp_path, "--no-frames")
    assert done.returncode == 3
    assert "broken.jpg: cannot be read" in done.stderr
    assert "1 of 3 files" in done.stderr
    assert [(Path(str(line["source"])).name, line["read"]) for line in lines(done.stdout)] == [
        ("a.png", first["plate"]),
        ("b.png", second["plate"]),
    ]


def test_read_takes_pictures_of_any_shape(tmp_path: Path) -> None:
    for name, shape in (("dot", (1, 1)), ("strip", (8, 640)), ("line", (20, 30_000)), ("pole", (600, 3))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full(shape, 90, np.uint8))
    done = edge_anpr("read", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line["reads"] for line in lines(done.stdout)] == [[]] * 4


@pytest.mark.parametrize("source", ["rtsp://user:secret@camera/1", "RTSP://user:secret@camera/1", "/dev/null", "0"])
def test_read_refuses_live_cameras(source: str) -> None:
    done = edge_anpr("read", source)
    assert done.returncode == 2
    assert "a live camera is refused" in done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""


def test_read_empties_no_file_before_all_is_known_to_be_right(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(CLIP.read_bytes())
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("kept")
    assert "is one of the sources" in edge_anpr("read", clip, "--out", clip).stderr
    assert clip.read_bytes() == CLIP.read_bytes()
    assert edge_anpr("read", "none.mp4", "--out", earlier).returncode == 2
    assert earlier.read_text() == "kept"


def test_read_says_in_one_line_that_its_output_cannot_be_written(tmp_path: Path) -> None:
    assert edge_anpr("read", CLIP, "--out", tmp_path).stderr.endswith("cannot be written: Is a directory\n")
    assert edge_anpr("read", CLIP, "--out", "/dev/full").stderr.endswith("cannot be written: No space left on device\n")


def test_read_refuses_a_folder_without_pictures_and_what_is_no_file(tmp_path: Path) -> None:
    assert "holds no pictures" in edge_anpr("read", tmp_path).stderr
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "is neither a file nor a folder" in edge_anpr("read", fifo).stderr


def test_a_second_recogniser_on_the_same_outbox_is_refused(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", 10**6, "recogniser")
    done = edge_anpr("recognise", "-c", unit(tmp_path))
    outbox.close()
    assert done.returncode == 2
    assert "has a recogniser already" in done.stderr


def test_read_names_what_is_not_there_before_it_begins() -> None:
    done = edge_anpr("read", CLIP, "none.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "edge-anpr: none.mp4: no such file or folder\n"


def unit(tmp_path: Path, **changes: str) -> Path:
    values = {
        "clip": str(CLIP), "list": str(demo.FOLDER / "watchlist.json"), "allow": "true", "outbox": "outbox.db",
        "models": "{}", "port": "1",
    } | changes  # fmt: skip
    path = tmp_path / "unit.yaml"
    path.write_text(
        "unit: {org: town, site: bridge, id: pole-07}\n"
        f"camera: {{source: clip, path: {json.dumps(values['clip'])}, pace: fast}}\n"
        f"models: {values['models']}\n"
        f"watchlist: {{path: {json.dumps(values['list'])}, allow_unsigned: {values['allow']}}}\n"
        f"delivery: {{outbox: {json.dumps(values['outbox'])}}}\n"
        f"mqtt: {{host: 127.0.0.1, port: {values['port']}}}\n"
    )
    return path


def test_check_prints_the_values_in_force(tmp_path: Path) -> None:
    done = edge_anpr("check", "-c", unit(tmp_path))
    assert done.returncode == 0
    assert "epoch_minutes: 15" in done.stdout
    assert f"outbox: {tmp_path}/outbox.db" in done.stdout


def test_check_names_every_mistake_with_its_line(tmp_path: Path) -> None:
    path = unit(tmp_path, port="'1883'", allow="yes")
    done = edge_anpr("check", "-c", path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"edge-anpr: {path}:4: watchlist.allow_unsigned: takes true or false",
        f"edge-anpr: {path}:6: mqtt.port: takes a whole number, without quotes, like 15",
    ]


def broken_clip(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "clip.mp4").write_bytes(b"no clip")
    return {"clip": "clip.mp4"}


def altered_model(tmp_path: Path) -> dict[str, str]:
    from edge_anpr.vision.session import shipped

    raw = bytearray(shipped("ocr").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "ocr.onnx").write_bytes(raw)
    (tmp_path / "ocr.json").write_bytes(shipped("ocr").with_suffix(".json").read_bytes())
    return {"models": "{ocr: ocr.onnx}"}


def no_database(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "outbox.db").write_bytes(b"this is no database, whatever its name says" * 50)
    return {}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda _: {"clip": "none.mp4"}, "none.mp4: no such clip"),
        (broken_clip, "clip.mp4: OpenCV"),
        (lambda _: {"models": "{detector: none.onnx}"}, "none.json: the model's card cannot be read"),
        (altered_model, "ocr.onnx: is not the ocr that its card describes"),
        (lambda _: {"list": "none.json"}, "none.json: cannot be read: No such file or directory; set watchlist.path"),
        (
            lambda _: {"allow": f"false, keys: [{AUTHORITY}]", "list": str(demo.FOLDER / "watchlist.json")},
            "the list is not signed",
        ),
        (no_database, "outbox.db"),
    ],
)
def test_what_a_person_must_mend_is_one_clear_line(
    tmp_path: Path, broken: Callable[[Path], dict[str, str]], says: str
) -> None:
    done = edge_anpr("recognise", "-c", unit(tmp_path, **broken(tmp_path)))
    assert done.returncode == 2
    complaints = [line for line in done.stderr.splitlines() if "UNSIGNED" not in line]
    assert len(complaints) == 1
    assert says in complaints[0]
    assert "Traceback" not in done.stderr


def test_every_command_explains_itself() -> None:
    overview = edge_anpr("--help").stdout
    assert "\n  Try it:      edge-anpr run --demo\n" in overview
    for command in ("check", "run", "recognise", "publish", "read"):
        assert command in overview
        assert len(edge_anpr(command, "--help").stdout.splitlines()) > 5
