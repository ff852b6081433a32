import random
import time

import pytest

from edge_anpr.errors import Unusable
from tests.fuzz.parsers import PARSERS, Parser, fuzz, resident_mb


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_no_input_crashes_hangs_or_hoards(parser: Parser) -> None:
    before = resident_mb()
    assert fuzz(parser, random.Random(7), time.monotonic() + 1) > 20
    assert resident_mb() - before < 100


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_what_each_should_get_is_taken(parser: Parser) -> None:
    """Otherwise the fuzzing would only ever see the first check."""
    try:
        parser.parse(parser.seeds[0])
    except Unusable as error:
        # A ticket answers one request, whose nonce the fuzzer cannot know: it gets as far as that.
        if parser.name != "ticket" or "answers another request" not in str(error):
            pytest.fail(str(error))
