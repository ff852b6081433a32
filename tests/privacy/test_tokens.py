import gc

from edge_anpr.plates.text import encode
from edge_anpr.privacy.tokens import PassCounter, keyed

MINUTE = 60_000_000_000


def test_a_token_depends_on_the_plate_and_on_the_key() -> None:
    plate, other = encode("QA12CE"), encode("QA12CF")
    first, second = bytearray(b"k" * 32), bytearray(b"l" * 32)
    assert keyed(plate, first, 8) == keyed(plate, first, 8)
    assert keyed(plate, first, 8) != keyed(other, first, 8)
    assert keyed(plate, first, 8) != keyed(plate, second, 8)


def test_distinct_plates_are_counted_within_an_epoch_only() -> None:
    counter = PassCounter(15 * MINUTE)
    for second in range(3):
        counter.note(encode("QA12CE"), second)
    counter.note(encode("QA12CF"), 3)
    assert counter.distinct == 2
    counter.expire(15 * MINUTE)
    assert counter.distinct == 0


def test_the_key_is_overwritten_when_its_epoch_ends_even_on_an_empty_road() -> None:
    counter = PassCounter(15 * MINUTE)
    counter.note(encode("QA12CE"), 0)
    key = counter._key  # the very buffer, to see that it is this one that changes
    before = bytes(key)
    counter.expire(14 * MINUTE)
    assert bytes(key) == before
    counter.expire(15 * MINUTE)
    assert bytes(key) != before
    assert counter._key is key


def test_no_text_of_a_plate_is_made_for_its_token() -> None:
    counter = PassCounter(MINUTE)
    plate = encode("Q9Q8Q7")
    counter.note(plate, 0)
    gc.collect()
    assert not [item for item in gc.get_objects() if isinstance(item, str | bytes) and item in ("Q9Q8Q7", b"Q9Q8Q7")]
