"""A network and its card: the file is what the card says, the provider is what was asked, nothing spins or hoards.

The only file that names onnxruntime. Its arena keeps plate crops findable long after a run, so it is off.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# The wheel (1.32) keeps telemetry in ~/.cache/Microsoft for Microsoft's server; it looks for this when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
from numpy.typing import NDArray

from edge_anpr.errors import Unusable

_PROVIDERS = {"cpu": "CPUExecutionProvider"}
_SCHEMA_ERROR = re.compile(rb"^Schema error: Trying to register schema.*\n\n?", re.MULTILINE)


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


class Network:
    """One loaded network; ``run`` takes the input array and gives the outputs in the card's order."""

    def __init__(self, path: Path, kind: str, decoder: str, *, provider: str = "cpu", threads: int = 1) -> None:
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = _PROVIDERS[provider]
        try:
            with _without_schema_errors():
                self._session = onnxruntime.InferenceSession(model, options, providers=[wanted])
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            raise ModelRefused(f"{path}: ONNX Runtime {onnxruntime.__version__} cannot load it: {error}") from error
        self.provider = self._session.get_providers()[0]
        if self.provider != wanted:
            raise ModelRefused(f"{path}: runs on {self.provider}, not on {wanted} as models.provider demands")
        used = self._session.get_session_options()
        self.hoards = bool(used.enable_cpu_mem_arena or used.enable_mem_pattern)
        """Whether the runtime keeps memory from pass to pass, as the session itself says."""
        self._input = self._session.get_inputs()[0].name
        self._outputs: list[str] = list(self.card.fields["outputs"])
        missing = set(self._outputs) - {output.name for output in self._session.get_outputs()}
        if missing:
            raise ModelRefused(f"{path}: has no output {', '.join(sorted(missing))}, which its card promises")

    def run(self, array: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        """Outputs for one input array (NCHW, uint8)."""
        outputs: Sequence[NDArray[np.float32]] = self._session.run(self._outputs, {self._input: array})
        return outputs


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
