"""A network and its card: the file is what the card says, what computes is what was asked, nothing spins or hoards.

The only file that names onnxruntime. Its arena keeps plate crops findable long after a run, so it is off.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

# The wheel (1.32) keeps telemetry in ~/.cache/Microsoft for Microsoft's server; it looks for this when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
from numpy.typing import NDArray

from edge_anpr.errors import Unusable
from edge_anpr.privacy.wipe import wipe

_SCHEMA_ERROR = re.compile(rb"^Schema error: Trying to register schema.*\n\n?", re.MULTILINE)
_CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": _CPU,
    "xnnpack": "XnnpackExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
# These keep an arena of the GPU's memory that cannot be turned off from Python.
_HOARDERS = {"cuda", "tensorrt"}
# A layout for float convolutions, of which these networks have two: to change back from it takes longer than it gains
# (0.1 of 1.5 ms a pass), and a third more memory at once.
_DISABLED = ["NchwcTransformer"]
# So many rows of characters go through the OCR at once, at most.
MOST_CROPS = 8
# A part of a large picture is at most so much wider and higher than the detector's input (see ``views``).
_PARTS_PX = 64


Input = NDArray[np.uint8]
Outputs = Sequence[NDArray[np.float32]]


class ModelRefused(Unusable):
    """A model that must not run: missing, altered, of another kind, or on another provider than was asked."""


@dataclass(frozen=True, slots=True)
class Card:
    """What stands beside an ONNX file: its kind, its input's height and width in pixels, its hash, and the rest."""

    kind: str
    decoder: str
    height: int
    width: int
    sha256: str
    fields: dict[str, Any]


class Pass:
    """A pass of a network over one array, which its owner fills anew each time; the outputs are overwritten by each."""

    def __init__(self, session: onnxruntime.InferenceSession, name: str, outputs: Sequence[str], array: Input) -> None:
        self._session, self._array, self._binding = session, array, session.io_binding()
        first = session.run(outputs, {name: array})  # what shape they have only a pass tells
        self._outputs: Outputs = [np.zeros_like(output) for output in first]
        wipe(*first)
        self._binding.bind_cpu_input(name, array)
        for output, buffer in zip(outputs, self._outputs, strict=True):
            self._binding.bind_output(output, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)

    def run(self) -> Outputs:
        """The outputs in the card's order, the same arrays each time."""
        self._session.run_with_iobinding(self._binding)
        return self._outputs


class Network:
    """One loaded network; ``run`` takes the input array and gives the outputs in the card's order.

    What is run frame by frame is bound once: nothing is allocated for its inputs and outputs then.

    ``provider`` is what computes it. Of another one than the CPU that is read from the runtime's own account of a pass,
    because a session also names a provider that it gave nothing to do; ``nodes``: how many of them each computed.
    ``cache`` is a folder for what TensorRT has built, which takes minutes.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        decoder: str,
        *,
        provider: str = "cpu",
        threads: int = 1,
        cache: Path | None = None,
    ) -> None:
        self.card = _card(path, kind, decoder)
        try:
            model = path.read_bytes()
        except OSError as error:
            raise ModelRefused(
                f"{path}: the {kind} cannot be read: {error.strerror}; install the package anew or set models.{kind}"
            ) from error
        if hashlib.sha256(model).hexdigest() != self.card.sha256:
            raise ModelRefused(
                f"{path}: is not the {kind} that its card describes (sha256 differs); install the package anew, "
                "or give the model that belongs to the card"
            )
        self._path, self.asked, self.provider = path, provider, PROVIDERS[provider]
        has = onnxruntime.get_available_providers()
        if self.provider not in has:
            raise ModelRefused(
                f"models.provider: {provider}: ONNX Runtime {onnxruntime.__version__} as it is installed here has no "
                f"{self.provider}, only {', '.join(sorted(has))}; install a build that has it, or write provider: cpu"
            )
        with tempfile.TemporaryDirectory(prefix="edge-anpr-") if provider != "cpu" else nullcontext() as account:
            self._session = self._load(model, threads, cache, account)
            self._input = self._session.get_inputs()[0].name
            self._outputs: list[str] = list(self.card.fields["outputs"])
            missing = set(self._outputs) - {output.name for output in self._session.get_outputs()}
            if missing:
                raise ModelRefused(f"{path}: has no output {', '.join(sorted(missing))}, which its card promises")
            self.nodes = self._prove() if account else {}
        used = self._session.get_session_options()
        self.hoards = bool(used.enable_cpu_mem_arena or used.enable_mem_pattern) or provider in _HOARDERS
        """Whether the runtime keeps memory from pass to pass, as the session itself says; a GPU's it always keeps."""

    def run(self, array: Input) -> Outputs:
        """Outputs for one input array (NCHW, uint8)."""
        outputs: Outputs = self._session.run(self._outputs, {self._input: array})
        return outputs

    def bind(self, array: Input) -> Pass:
        """A pass over this very array (NCHW, uint8, C-contiguous), to be run again and again."""
        return Pass(self._session, self._input, self._outputs, array)

    def _load(
        self, model: bytes, threads: int, cache: Path | None, account: str | None
    ) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        # XNNPACK has threads of its own, and both kinds would wait for each other.
        options.intra_op_num_threads = 1 if self.asked == "xnnpack" else threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if account:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(account, "pass"))
        try:
            # Without a word to the contrary, a provider that fails is replaced by the CPU: here, and in a later pass.
            # 1.21 (Debian 13) knows only the second word, and is found out by what it then names.
            with _without_schema_errors():
                session = onnxruntime.InferenceSession(
                    model,
                    options,
                    providers=self._providers(threads, cache),
                    enable_fallback=0,
                    disabled_optimizers=_DISABLED,
                )
            session.disable_fallback()
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            raise ModelRefused(
                f"{self._path}: ONNX Runtime {onnxruntime.__version__} cannot load it: {error}"
            ) from error
        first = session.get_providers()[0]
        if first != self.provider:
            raise ModelRefused(f"{self._path}: runs on {first}, not on {self.provider} as models.provider demands")
        return session

    def _providers(self, threads: int, cache: Path | None) -> list[tuple[str, dict[str, str]]]:
        """What is asked for, then where the few nodes may go that it does not know."""
        # Searching for the fastest convolution would be done anew for each size of picture, in front of traffic.
        cuda = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
        options: dict[str, dict[str, str]] = {
            "xnnpack": {"intra_op_num_threads": str(threads)},
            "cuda": cuda,
            "tensorrt": {"trt_fp16_enable": "True"} | _shapes(self.card),
        }
        if cache is not None and self.asked == "tensorrt":
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            options["tensorrt"] |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(cache)}
        chosen = [(self.provider, options.get(self.asked, {}))]
        chosen += [(PROVIDERS["cuda"], cuda)] * (self.asked == "tensorrt")
        return chosen + [(_CPU, {})] * (self.asked != "cpu")

    def _prove(self) -> dict[str, int]:
        """What computes a pass over an empty picture. Raises ModelRefused when it is not what was asked."""
        size = (1, 1, self.card.height, self.card.width)
        try:
            self.run(np.zeros(size, np.uint8))
            account = json.loads(Path(self._session.end_profiling()).read_bytes())
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            raise ModelRefused(f"{self._path}: fails on {self.provider}: {error}") from error
        did = [event["args"] for event in account if event.get("cat") == "Node" and "provider" in event["args"]]
        nodes = Counter(str(node["provider"]) for node in did)
        # Nearly all the work. TensorRT's own nodes bear no such name: what it has taken is one node.
        work = [node["provider"] for node in did if "Conv" in node["op_name"]]
        if not nodes[self.provider] or any(provider != self.provider for provider in work):
            raise ModelRefused(
                f"models.provider: {self.asked}: {self.provider} computes {work.count(self.provider)} of "
                f"{len(work)} convolutions of {self._path}, and others the rest; give a network that it takes whole "
                "(docs/providers.md), or write provider: cpu"
            )
        return dict(nodes)


def _shapes(card: Card) -> dict[str, str]:
    """For TensorRT the sizes that come, or it would build anew, for minutes, whenever it meets another one."""
    height, width = card.height, card.width
    usual = (1, 1, height, width)
    least, most = usual, (MOST_CROPS, 1, height, width)
    if card.kind == "detector":
        least, most = (1, 1, _PARTS_PX, _PARTS_PX), (1, 1, height + _PARTS_PX, width + _PARTS_PX)
    name = card.fields["input"]["name"]
    return {
        f"trt_profile_{which}_shapes": f"{name}:{'x'.join(map(str, shape))}"
        for which, shape in (("min", least), ("opt", usual), ("max", most))
    }


def networks(
    detector: Path | None, ocr: Path | None, *, provider: str = "cpu", threads: int = 1, cache: Path | None = None
) -> dict[str, Network]:
    """The two of a unit, by kind; without a path the one that comes with the package."""
    return {
        kind: Network(path or shipped(kind), kind, decoder, provider=provider, threads=threads, cache=cache)
        for kind, path, decoder in (("detector", detector, "quad13-s8"), ("ocr", ocr, "ctc"))
    }


def versions() -> dict[str, str]:
    """Of what computes here, as each says itself; to ask the installed packages takes 2 MB more."""
    return {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__, "opencv": cv2.__version__}


def shipped(name: str) -> Path:
    """The ONNX file that comes with the package: beside the code when installed, in ``models/`` in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "models" / f"{name}.onnx"
    return installed if installed.exists() else package.parent / "models" / f"{name}.onnx"


@contextmanager
def _without_schema_errors() -> Iterator[None]:
    """Keep 116 kB out of the journal: Debian's 1.21 registers every operator twice, and says so of each on stderr.

    What else was said meanwhile follows when it is over.
    """
    stderr = os.dup(2)
    with open(os.memfd_create("stderr"), "r+b") as said:  # noqa: PTH123 - a descriptor has no path
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            os.write(2, _SCHEMA_ERROR.sub(b"", said.read()))


def _card(path: Path, kind: str, decoder: str) -> Card:
    place = path.with_suffix(".json")
    try:
        fields = json.loads(place.read_bytes())
        size = fields["input"]
        card = Card(
            fields["kind"],
            fields["decoder"],
            int(size["height"]),
            int(size["width"]),
            fields["sha256"],
            fields,
        )
        fields["outputs"]
    except OSError as error:
        raise ModelRefused(
            f"{place}: the model's card cannot be read: {error.strerror}; it belongs beside {path.name}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelRefused(
            f"{place}: is no model card ({type(error).__name__}: {error}); see models/ocr.json"
        ) from error
    if (card.kind, card.decoder) != (kind, decoder):
        raise ModelRefused(
            f"{place}: describes a {card.kind} with decoder {card.decoder}; here goes a {kind} with {decoder}"
        )
    return card
