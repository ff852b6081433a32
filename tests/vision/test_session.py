import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_anpr.vision.session import ModelRefused, Network, shipped


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped OCR with its card."""
    for suffix in (".onnx", ".json"):
        shutil.copy(shipped("ocr").with_suffix(suffix), tmp_path / f"ocr{suffix}")
    return tmp_path / "ocr.onnx"


def test_the_shipped_networks_run_and_say_on_what() -> None:
    network = Network(shipped("ocr"), "ocr", "ctc")
    (logits,) = network.run(np.zeros((2, 1, 32, 128), np.uint8))
    assert logits.shape == (2, 32, 37)
    assert network.provider == "CPUExecutionProvider"
    assert Network(shipped("detector"), "detector", "quad-s8").run(np.zeros((1, 1, 384, 640), np.uint8))[0].shape == (
        1,
        1,
        48,
        80,
    )


def test_loading_keeps_the_noise_of_debians_runtime_from_stderr_and_nothing_else(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = onnxruntime.InferenceSession

    def noisy(*args: object, **kwargs: object) -> object:
        said = (
            b"before\n\nSchema error: Trying to register schema with name Abs (domain:  version: 1)\n\nSchema error\n"
        )
        os.write(2, said)
        return load(*args, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", noisy)
    Network(shipped("ocr"), "ocr", "ctc")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\n\nSchema error\nafter\n"


def test_an_altered_model_is_refused(model: Path) -> None:
    raw = bytearray(model.read_bytes())
    raw[len(raw) // 2] ^= 1
    model.write_bytes(raw)
    with pytest.raises(ModelRefused, match=r"sha256 differs.*install the package anew"):
        Network(model, "ocr", "ctc")


def test_a_missing_model_or_card_is_named(model: Path) -> None:
    model.unlink()
    with pytest.raises(ModelRefused, match=r"ocr\.onnx: the ocr cannot be read: No such file"):
        Network(model, "ocr", "ctc")
    model.with_suffix(".json").unlink()
    with pytest.raises(ModelRefused, match=r"ocr\.json: the model's card cannot be read"):
        Network(model, "ocr", "ctc")


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"kind": "ocr"}'])
def test_a_card_that_is_none_is_refused(model: Path, card: str) -> None:
    model.with_suffix(".json").write_text(card)
    with pytest.raises(ModelRefused, match="is no model card"):
        Network(model, "ocr", "ctc")


def test_a_model_of_another_kind_is_refused(model: Path) -> None:
    with pytest.raises(ModelRefused, match="describes a ocr with decoder ctc; here goes a detector"):
        Network(model, "detector", "quad-s8")


def test_a_file_that_is_no_network_is_refused_in_one_line(model: Path) -> None:
    model.write_bytes(b"not a network")
    card = json.loads(model.with_suffix(".json").read_text())
    card["sha256"] = hashlib.sha256(b"not a network").hexdigest()
    model.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelRefused, match="cannot load it") as caught:
        Network(model, "ocr", "ctc")
    assert "\n" not in str(caught.value)


def test_the_runtime_keeps_no_arena_in_which_plates_could_be_found() -> None:
    options = Network(shipped("ocr"), "ocr", "ctc")._session.get_session_options()
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_the_runtime_leaves_nothing_in_the_users_home(tmp_path: Path) -> None:
    code = "from edge_anpr.vision.session import Network, shipped; Network(shipped('ocr'), 'ocr', 'ctc')"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert list(tmp_path.rglob("*")) == []  # telemetry puts a database there, and sends it later
