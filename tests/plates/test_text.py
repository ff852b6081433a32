import numpy as np
import pytest

from edge_anpr.plates.text import CLASS_BYTES, canonical, encode, reveal


def test_separators_and_case_do_not_matter() -> None:
    assert canonical("qa-12.ce 3") == "QA12CE3"


@pytest.mark.parametrize("text", ["", "A", "Ä-12", "1ß2", "AB_12", "ABCDEFGH12345"])
def test_what_is_no_plate_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="a plate") as caught:
        canonical(text)
    assert not text or text not in str(caught.value).split()


def test_classes_and_text_are_two_forms_of_the_same() -> None:
    assert reveal(encode("0Z9A")) == "0Z9A"
    assert b"0Z9A".translate(CLASS_BYTES) == bytes(encode("0Z9A"))
    assert encode("0Z9A").dtype == np.uint8
