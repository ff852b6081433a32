from datetime import UTC, datetime

import numpy as np

from edge_anpr.datatypes import MatchClass, PlateRead
from edge_anpr.plates.text import ALPHABET, encode
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.watchlist import Entry

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def entry(plate: str, country: str = "NL", not_after: datetime = LATER) -> Entry:
    return Entry(plate, country, "stolen", not_after, 1)


def read(text: str, **seen_too: float) -> PlateRead:
    """A read; B=.1 means that wherever its pair partner was read, a B was seen with that mass."""
    posteriors = np.full((len(text), 36), 0.0005, np.float32)
    classes = encode(text)
    posteriors[np.arange(len(text)), classes] = 0.97
    for character, mass in seen_too.items():
        posteriors[:, ALPHABET.index(character.strip("_"))] = mass
    return PlateRead(classes, posteriors, posteriors.max(axis=1), None, None, 5, 5)


def test_the_same_characters_match_exactly() -> None:
    match = Matcher([entry("DB01DB"), entry("KR99ZX")]).match(read("KR99ZX"), NOW)
    assert match is not None
    assert (match.match_class, match.entry, match.listed) == (MatchClass.EXACT, 1, "KR99ZX")


def test_what_is_not_listed_does_not_match() -> None:
    assert Matcher([entry("DB01DB")]).match(read("DB02DB"), NOW) is None


def test_an_entry_past_its_time_matches_nothing() -> None:
    assert Matcher([entry("DB01DB", not_after=NOW.replace(month=10))]).match(read("DB01DB"), NOW) is None


def test_a_plate_listed_twice_is_met_as_long_as_one_entry_is_in_force() -> None:
    over = NOW.replace(month=10)
    for entries in (
        [entry("DB01DB"), entry("DB01DB", not_after=over)],
        [entry("DB01DB", not_after=over), entry("DB01DB")],
    ):
        matcher = Matcher(entries)
        match = matcher.match(read("DB01DB"), NOW)
        assert match is not None
        assert match.expires == LATER
        assert len(matcher) == 2


def test_a_look_alike_that_the_picture_allows_matches_as_confusable_and_leaves_the_read_alone() -> None:
    seen = read("D801DB", B=0.1)
    before = seen.classes.copy()
    match = Matcher([entry("DB01DB")]).match(seen, NOW)
    assert match is not None
    assert (match.match_class, match.listed) == (MatchClass.CONFUSABLE, "DB01DB")
    assert np.array_equal(seen.classes, before)


def test_a_look_alike_that_the_picture_speaks_against_does_not_match() -> None:
    assert Matcher([entry("DB01DB")]).match(read("D801DB"), NOW) is None


def test_a_look_alike_outside_the_layouts_of_its_country_does_not_match() -> None:
    assert Matcher([entry("8B01DB")]).match(read("BB01DB", _8=0.1), NOW) is None


def test_o_and_0_are_tried_without_evidence_because_they_are_one_drawing() -> None:
    match = Matcher([entry("OB1DB", country="XX")]).match(read("0B1DB"), NOW)
    assert match is not None
    assert match.match_class is MatchClass.CONFUSABLE


def test_the_lists_plates_are_not_kept_in_clear() -> None:
    matcher = Matcher([entry("DB01DB")])
    assert b"DB01DB" not in repr(vars(matcher)).encode()
    assert all(isinstance(key, bytes) and len(key) == 16 for key in matcher._listed)
