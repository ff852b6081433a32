"""`edge-anpr self-test`, as a process."""

import hashlib
import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime

from edge_anpr.vision import golden
from edge_anpr.vision.session import shipped


def self_test(*arguments: object, code: str = "") -> subprocess.CompletedProcess[str]:
    begin = [sys.executable, "-c", f"{code}\nfrom edge_anpr.cli import main\nmain()"]
    return subprocess.run(
        [*begin, "self-test", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


def unit(folder: Path, models: str) -> Path:
    path = folder / "unit.yaml"
    path.write_text(
        "unit: {org: town, site: bridge, id: pole-07}\ncamera: {source: clip, path: clip.mp4}\n"
        f"watchlist: {{path: list.json, allow_unsigned: true}}\nmodels: {models}\n"
    )
    return path


def test_it_passes_and_says_what_runs_how_fast() -> None:
    done = self_test("--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["passed"]
    assert found["golden"] == {"pictures": 2, "plates": 4, "rows": 10}
    for model in found["models"].values():
        assert model["provider"] == "CPUExecutionProvider"
        assert 0 < model["ms"]["p50"] <= model["ms"]["p95"]
    assert set(found["versions"]) == {"onnxruntime", "numpy", "opencv"}


def test_people_get_a_table_without_a_plate() -> None:
    done = self_test()
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed" in done.stdout
    assert "computed by" in done.stdout
    assert [text for _, text in golden.load().rows if text in done.stdout] == []


def test_an_altered_model_fails(tmp_path: Path) -> None:
    for suffix in (".onnx", ".json"):
        shutil.copy(shipped("ocr").with_suffix(suffix), tmp_path / f"ocr{suffix}")
    raw = bytearray((tmp_path / "ocr.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "ocr.onnx").write_bytes(raw)
    done = self_test("-c", unit(tmp_path, "{ocr: ocr.onnx}"), "--json")
    assert done.returncode == 1
    assert "sha256 differs" in done.stderr
    assert not json.loads(done.stdout)["passed"]


def test_a_model_that_its_own_card_describes_and_that_cannot_read_fails(tmp_path: Path) -> None:
    """Damage that a hash does not show: weights of nonsense."""
    raw = shipped("ocr").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes()
    for begin in range(len(raw) // 4, len(raw), len(raw) // 40):  # where it hits weights only, the file stays a network
        broken = raw[:begin] + noise + raw[begin + len(noise) :]
        with suppress(Exception):
            onnxruntime.InferenceSession(broken, providers=["CPUExecutionProvider"])
            break
    (tmp_path / "ocr.onnx").write_bytes(broken)
    card = json.loads(shipped("ocr").with_suffix(".json").read_text())
    card["sha256"] = hashlib.sha256(broken).hexdigest()
    (tmp_path / "ocr.json").write_text(json.dumps(card))
    done = self_test("-c", unit(tmp_path, "{ocr: ocr.onnx}"))
    assert done.returncode == 1
    assert "misread" in done.stderr
    assert "FAILED" in done.stdout


def test_a_provider_that_is_not_here_fails_with_what_to_do(tmp_path: Path) -> None:
    done = self_test("-c", unit(tmp_path, "{provider: tensorrt}"))
    assert done.returncode == 1
    assert "has no TensorrtExecutionProvider" in done.stderr
    assert "write provider: cpu" in done.stderr


def test_an_altered_golden_file_fails(tmp_path: Path) -> None:
    with np.load(golden.FILE) as held:
        known = dict(held)
    known["row_texts"][0] = "0" * len(str(known["row_texts"][0]))
    np.savez_compressed(tmp_path / "golden.npz", **known)
    code = (
        "from pathlib import Path; from edge_anpr.vision import golden; load = golden.load; "
        f"golden.load = lambda: load(Path({str(tmp_path / 'golden.npz')!r}))"
    )
    done = self_test(code=code)
    assert done.returncode == 1
    assert "row 1 is misread" in done.stderr


def test_a_unit_that_misreads_ends_before_it_is_ready(tmp_path: Path) -> None:
    from tests.unit.test_recogniser import unit as whole

    code = (
        "import sys; from pathlib import Path; from edge_anpr import config; "
        "from edge_anpr.vision import ocr; from edge_anpr.unit import recogniser, systemd; "
        "decode = ocr.decode; ocr.decode = lambda logits, blank: decode(logits[::-1], blank); "
        "systemd.Service.ready = lambda self: print('READY'); "
        "recogniser.run(config.load(Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(whole(tmp_path, tmp_path / "outbox.db"))],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "READY" not in done.stdout
    assert "Misread: the networks do not read here what they read elsewhere" in done.stderr
