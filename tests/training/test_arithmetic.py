"""The operators of the shipped networks add up to what their cards say, and to what was counted on a processor."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("onnx", reason="of the extra `train`")
import arithmetic

MODELS = arithmetic.REPOSITORY / "models"
# A kernel computes rows and columns in blocks, and fills them up with zeros.
FILLED_UP = 1.05


def counted(processor: str, runtime: str) -> dict[str, Any]:
    ran = json.loads(arithmetic.COUNTED.read_bytes())
    return next(one["u8s8"] for one in ran if (one["processor"], one["runtime"]) == (processor, runtime))


@pytest.mark.parametrize("kind", ["detector", "ocr"])
def test_multiplications_are_those_of_the_card(kind: str) -> None:
    card = json.loads((MODELS / f"{kind}.json").read_bytes())
    size = (1, 1, card["input"]["height"], card["input"]["width"])
    found = list(arithmetic.operators(MODELS / f"{kind}.onnx", size))
    assert sum(one.macs for one in found) == card["macs"]
    assert sum(one.macs for one in found if one.is_int8) > 0.97 * card["macs"]


@pytest.mark.parametrize(("kind", "size"), [("detector", (384, 640)), ("detector", (192, 320)), ("ocr", (32, 128))])
def test_a_cortex_a76_executed_these(kind: str, size: tuple[int, int]) -> None:
    found = list(arithmetic.operators(MODELS / f"{kind}.onnx", (1, 1, *size)))
    ran = counted("Cortex-A76", "1.32.0")[f"{kind} {size[1]}x{size[0]}"]
    # A dot product is 16 of them; SDOT does the convolutions without im2col, UDOT the rest.
    direct = sum(one.macs for one in found if one.is_int8 and not one.beside)
    rest = sum(one.macs for one in found if one.is_int8 and one.beside)
    assert direct <= 16 * ran["sdot"] <= FILLED_UP * direct
    assert rest <= 16 * ran["udot"] <= FILLED_UP * rest


def test_a_cortex_a72_executed_these() -> None:
    found = arithmetic.operators(MODELS / "detector.onnx", (1, 1, 384, 640), arithmetic.DIRECT_OUTPUTS["Cortex-A72"])
    macs = sum(one.macs for one in found if one.is_int8)
    assert macs <= 8 * counted("Cortex-A72", "1.32.0")["detector 640x384"]["smull, smlal"] <= FILLED_UP * macs


def test_the_page_is_what_the_command_writes() -> None:
    times = arithmetic.expected(json.loads(arithmetic.COUNTED.read_bytes()))
    assert times == json.loads(arithmetic.EXPECTED.read_bytes())
    page = arithmetic.PAGE.read_text()
    assert arithmetic.expected_table(times) in page
    assert arithmetic.counted_table(json.loads(arithmetic.COUNTED.read_bytes())) in page
    for kind, sizes in arithmetic.INPUTS.items():
        assert arithmetic.table(list(arithmetic.operators(MODELS / f"{kind}.onnx", sizes[0]))) in page
