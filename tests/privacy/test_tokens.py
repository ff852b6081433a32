import gc
from datetime import UTC, datetime, timedelta

from edge_anpr.plates.text import encode
from edge_anpr.privacy.tokens import Hour, PassCounter, keyed

MINUTE = 60_000_000_000
ELEVEN, HOUR = datetime(2026, 11, 24, 11, tzinfo=UTC), timedelta(hours=1)


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
    for number in range(300):  # more than the first table holds
        counter.note(encode(f"QA{number:03}C"), 3)
    assert counter.finished(ELEVEN) is None
    assert counter.finished(ELEVEN + HOUR) == Hour(ELEVEN, 300, 300)
    for time_ns in (15 * MINUTE, 16 * MINUTE, 30 * MINUTE):  # the last in an epoch of its own
        for number in range(30):
            counter.note(encode(f"QE{number:03}C"), time_ns)
    assert counter.finished(ELEVEN + 2 * HOUR) == Hour(ELEVEN + HOUR, 60, 90)


def test_what_is_told_of_an_hour_is_rounded_and_nothing_where_few_passed() -> None:
    counter = PassCounter(15 * MINUTE)
    counter.finished(ELEVEN)
    for hour, passages, told in ((1, 19, None), (2, 20, 20), (3, 24, 20), (4, 26, 30), (5, 0, None)):
        for number in range(passages):
            counter.note(encode(f"QE{number:03}C"), hour * 60 * MINUTE)
        assert counter.finished(ELEVEN + (hour - 0.5) * HOUR) is None
        assert counter.finished(ELEVEN + hour * HOUR) == Hour(ELEVEN + (hour - 1) * HOUR, told, told)
    assert counter.finished(ELEVEN + 50 * HOUR) is None  # the clock was set: which hour would that be?


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


def test_every_key_is_random_from_the_first_epoch_on_and_when_it_is_forgotten() -> None:
    counters = [PassCounter(10), PassCounter(10)]
    keys = {bytes(counter._key) for counter in counters}
    for counter in counters:
        counter.forget()
        keys.add(bytes(counter._key))
    assert len(keys) == 4
    assert all(len(set(key)) > 8 for key in keys)
