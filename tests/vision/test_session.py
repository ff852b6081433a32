import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_anpr.vision.session import PROVIDERS, ModelRefused, Network, networks, shipped
from edge_anpr.vision.views import parts, whole


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
    (heads,) = Network(shipped("detector"), "detector", "quad13-s8").run(np.zeros((1, 1, 384, 640), np.uint8))
    assert heads.shape == (1, 13, 48, 80)


def test_a_bound_pass_reads_its_array_anew_and_overwrites_its_own_outputs() -> None:
    network = Network(shipped("ocr"), "ocr", "ctc")
    rows = np.random.default_rng(1).integers(0, 256, (3, 1, 32, 128), np.uint8)
    held = network.bind(rows[:2])
    (first,) = held.run()
    assert np.array_equal(first, network.run(rows[:2])[0])
    before = first.copy()
    rows[1] = rows[2]
    (second,) = held.run()
    assert second is first
    assert np.array_equal(second, network.run(rows[:2])[0])
    assert not np.array_equal(second, before)


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
        Network(model, "detector", "quad13-s8")


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


def test_no_layout_is_changed_back_and_forth_in_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, make = tmp_path / "as it runs.onnx", onnxruntime.InferenceSession

    def keeping(model: bytes, options: onnxruntime.SessionOptions, **rest: object) -> onnxruntime.InferenceSession:
        options.optimized_model_filepath = str(kept)
        return make(model, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", keeping)
    Network(shipped("detector"), "detector", "quad13-s8")
    assert b"QLinearConv" in kept.read_bytes()
    assert b"ReorderInput" not in kept.read_bytes()


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


class Elsewhere(onnxruntime.InferenceSession):  # type: ignore[misc]
    """ONNX Runtime as a build with a GPU would be: it says that it runs on ``named``, and by its account did so."""

    named: str = "CUDAExecutionProvider"
    takes: str = ""  # nodes with this in their name; none of them without
    asked: list[tuple[str, dict[str, str]]]

    def __init__(
        self, model: bytes, options: object, *, providers: list[tuple[str, dict[str, str]]], **more: object
    ) -> None:
        type(self).asked = providers
        del more["enable_fallback"]  # 1.21 does not know it
        super().__init__(model, options, providers=["CPUExecutionProvider"], **more)

    def get_providers(self) -> list[str]:
        return [self.named, "CPUExecutionProvider"]

    def end_profiling(self) -> str:
        account = Path(super().end_profiling())
        events = json.loads(account.read_bytes())
        for event in events:
            if self.takes and self.takes in str(event.get("args", {}).get("op_name", "")):
                event["args"]["provider"] = self.named
        account.write_text(json.dumps(events))
        return str(account)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[..., type[Elsewhere]]:
    def stand_in(named: str, takes: str) -> type[Elsewhere]:
        kind = type("Elsewhere", (Elsewhere,), {"named": named, "takes": takes})
        monkeypatch.setattr(onnxruntime, "InferenceSession", kind)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
        return kind

    return stand_in


@pytest.mark.parametrize("provider", ["xnnpack", "cuda", "tensorrt"])
def test_a_provider_that_this_build_has_not_is_refused_with_those_it_has(provider: str) -> None:
    if PROVIDERS[provider] in onnxruntime.get_available_providers():
        pytest.skip("this build has it")
    with pytest.raises(ModelRefused, match=f"models.provider: {provider}: .* has no {PROVIDERS[provider]}, only .*CPU"):
        Network(shipped("ocr"), "ocr", "ctc", provider=provider)


def test_a_session_that_has_quietly_turned_to_the_cpu_is_refused(elsewhere: Callable[..., type[Elsewhere]]) -> None:
    elsewhere("CPUExecutionProvider", "")
    with pytest.raises(ModelRefused, match="runs on CPUExecutionProvider, not on CUDAExecutionProvider"):
        Network(shipped("ocr"), "ocr", "ctc", provider="cuda")


@pytest.mark.parametrize(("takes", "share"), [("", "0 of 15"), ("QLinearConv", "13 of 15")])
def test_a_provider_that_is_named_and_does_not_compute_it_all_is_refused(
    elsewhere: Callable[..., type[Elsewhere]], takes: str, share: str
) -> None:
    elsewhere("XnnpackExecutionProvider", takes)
    with pytest.raises(ModelRefused, match=f"XnnpackExecutionProvider computes {share} convolutions of "):
        Network(shipped("ocr"), "ocr", "ctc", provider="xnnpack")


def test_what_computes_it_is_told_and_leaves_no_account_on_the_disk(
    elsewhere: Callable[..., type[Elsewhere]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kind = elsewhere("CUDAExecutionProvider", "Conv")
    network = Network(shipped("ocr"), "ocr", "ctc", provider="cuda")
    assert network.provider == "CUDAExecutionProvider"
    assert network.nodes["CUDAExecutionProvider"] == 15
    assert network.hoards  # a GPU's memory is the arena's
    assert [name for name, _ in kind.asked] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert not network._session._enable_fallback  # a pass that fails is an error, not the CPU's
    assert list(tmp_path.iterdir()) == []
    options = network._session.get_session_options()
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern


def test_tensorrt_keeps_what_it_built_in_a_folder_of_its_own_and_knows_the_sizes_that_come(
    elsewhere: Callable[..., type[Elsewhere]], tmp_path: Path
) -> None:
    kind = elsewhere("TensorrtExecutionProvider", "Conv")
    networks(None, None, provider="tensorrt", cache=tmp_path / "engines")
    (first, options), *rest = kind.asked
    assert (first, [name for name, _ in rest]) == (
        "TensorrtExecutionProvider",
        ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    assert options["trt_engine_cache_path"] == str(tmp_path / "engines")
    assert oct((tmp_path / "engines").stat().st_mode) == "0o40700"
    assert options["trt_profile_max_shapes"] == "plate:8x1x32x128"
    Network(shipped("detector"), "detector", "quad13-s8", provider="tensorrt")
    detector = kind.asked
    most = [int(side) for side in detector[0][1]["trt_profile_max_shapes"].removeprefix("image:1x1x").split("x")]
    for width, height in ((1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (7680, 4320), (1456, 1088)):
        for view in parts(whole(width, height, 640, 384)):
            assert view.rows <= most[0]
            assert view.columns <= most[1]
            assert min(view.rows, view.columns) >= 64


def test_a_provider_that_cannot_be_made_is_refused_and_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Driverless(onnxruntime.InferenceSession):  # type: ignore[misc]
        """A GPU's build without the GPU's libraries; left alone, the runtime prints so and goes on with the CPU."""

        def _create_inference_session(self, providers: list[object], *more: object) -> None:
            if providers != ["CPUExecutionProvider"]:
                raise RuntimeError("no libcudart here")
            super()._create_inference_session(providers, *more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Driverless)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    with pytest.raises(ModelRefused, match="cannot load it: no libcudart here"):
        Network(shipped("ocr"), "ocr", "ctc", provider="cuda")
    assert capfd.readouterr().out == ""


def test_the_networks_stay_as_small_as_the_board_needs_them() -> None:
    files = [shipped(kind) for kind in ("detector", "ocr")]
    assert sum(file.stat().st_size for file in files) <= 1_000_000
    macs = [json.loads(file.with_suffix(".json").read_bytes())["macs"] for file in files]
    assert macs[0] <= 350_000_000
    assert macs[1] <= 60_000_000
