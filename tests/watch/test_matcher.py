import gc
import timeit

import numpy as np
import pytest

from edge_anpr.datatypes import Match, MatchClass, PlateRead
from edge_anpr.plates.confusable import MOST_DOUBTS, look_alikes, top_paths
from edge_anpr.plates.text import ALPHABET, encode, reveal
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.tokens import Group, TokenTable

NOW, LATER, OVER = 10**9, 10**12, 10**6


def group(country: str = "NL", expires_ns: int = LATER) -> Group:
    return Group(country, "stolen", 1, expires_ns)


def matcher(*plates: str, country: str = "NL", most: MatchClass = MatchClass.CONFUSABLE) -> Matcher:
    return Matcher(TokenTable.of((plate, group(country)) for plate in plates), most)


def read(text: str, **seen_too: float) -> PlateRead:
    """A read; B1=.3 means that at place 1 a B was seen with that mass, at the cost of what was read there."""
    posteriors = np.full((len(text), 36), 0.0005, np.float32)
    classes = encode(text)
    posteriors[np.arange(len(text)), classes] = 0.97
    for name, mass in seen_too.items():
        character, place = name.strip("_")[0], int(name[-1])
        posteriors[place, ALPHABET.index(character)] = mass
        posteriors[place, classes[place]] = 0.97 - mass
    return PlateRead(classes, posteriors, posteriors.max(axis=1), 5, 5)


def met(found: Match | None) -> tuple[str, str] | None:
    return (found.match_class.value, found.listed) if found else None


def test_the_same_characters_match_exactly() -> None:
    match = matcher("DB01DB", "KR99ZX").match(read("KR99ZX"), NOW)
    assert match is not None
    assert (match.match_class, match.entry, match.listed, match.reason, match.expires_ns) == (
        MatchClass.EXACT, 1, "KR99ZX", "stolen", LATER,
    )  # fmt: skip
    assert 0.9 < match.probability < 1


def test_what_is_not_listed_does_not_match() -> None:
    assert matcher("DB01DB").match(read("DB02DB"), NOW) is None


def test_an_entry_past_its_time_matches_nothing() -> None:
    assert Matcher(TokenTable.of([("DB01DB", group(expires_ns=OVER))])).match(read("DB01DB"), NOW) is None


def test_a_plate_listed_twice_is_met_as_long_as_one_entry_is_in_force() -> None:
    for ends in ((LATER, OVER), (OVER, LATER)):
        table = TokenTable.of(("DB01DB", group(expires_ns=end)) for end in ends)
        match = Matcher(table).match(read("DB01DB"), NOW)
        assert match is not None
        assert match.expires_ns == LATER
        assert len(Matcher(table)) == 2


def test_a_look_alike_that_the_picture_allows_matches_as_confusable_and_leaves_the_read_alone() -> None:
    seen = read("D801DB", B1=0.45)
    before = seen.classes.copy()
    match = matcher("DB01DB").match(seen, NOW)
    assert met(match) == ("confusable", "DB01DB")
    assert np.array_equal(seen.classes, before)


def test_a_look_alike_that_the_picture_speaks_against_does_not_match() -> None:
    assert matcher("DB01DB").match(read("D801DB"), NOW) is None


def test_a_look_alike_that_would_be_somebody_else_nine_times_of_ten_is_no_hit() -> None:
    sure = read("DB01SB", _54=0.05)  # S read, 5 hardly seen: DB01SB fits the layouts as well as DB015B does not
    assert matcher("DB015B", country="XX").match(sure, NOW) is None
    assert matcher("RB01DB").match(read("DB01DB", R0=0.45), NOW) is None  # no named pair
    doubtful = read("NB01DB", M0=0.45)
    assert met(matcher("MB01DB").match(doubtful, NOW)) == ("confusable", "MB01DB")
    assert matcher("MB01DB").match(read("NB01DB", M0=0.05), NOW) is None


def test_a_look_alike_outside_the_layouts_of_its_country_does_not_match() -> None:
    assert matcher("8B01DB").match(read("BB01DB", _80=0.45), NOW) is None
    assert met(matcher("8B01DB", country="XX").match(read("BB01DB", _80=0.6), NOW)) == ("confusable", "8B01DB")


def test_a_plate_of_no_layout_is_still_met_exactly() -> None:
    assert met(matcher("QQ1QQ1QQ").match(read("QQ1QQ1QQ"), NOW)) == ("exact", "QQ1QQ1QQ")
    assert met(matcher("QQ1QQ1QQQQ1Q", country="XX").match(read("QQ1QQ1QQQQ1Q"), NOW)) is not None


def test_o_and_0_are_tried_both_because_they_are_one_drawing() -> None:
    assert met(matcher("OB1DB", country="XX").match(read("0B1DB", O0=0.48), NOW)) == ("confusable", "OB1DB")


def test_the_ladder_ends_where_it_was_told_to() -> None:
    seen_b, seen_k = read("D801DB", B1=0.45), read("XB01DB", K0=0.45)
    exact, near = MatchClass.EXACT, MatchClass.NEAR
    assert matcher("DB01DB", most=exact).match(seen_b, NOW) is None
    assert met(matcher("DB01DB", most=exact).match(read("DB01DB"), NOW)) == ("exact", "DB01DB")
    assert matcher("KB01DB").match(seen_k, NOW) is None
    assert met(matcher("KB01DB", most=near).match(seen_k, NOW)) == ("near", "KB01DB")
    assert met(matcher("DB01DB", most=near).match(seen_b, NOW)) == ("confusable", "DB01DB")
    assert matcher("KB01DB", most=near).match(read("XB01DB", K0=0.05), NOW) is None


def test_exact_comes_before_look_alikes() -> None:
    assert met(matcher("DB01DB", "D801DB").match(read("D801DB", B1=0.45), NOW)) == ("exact", "D801DB")


def test_the_likelier_of_two_listed_look_alikes_is_told() -> None:
    found = matcher("DB01DB", "D601DB", country="XX").match(read("D801DB", B1=0.3), NOW)
    assert found is None or found.listed == "DB01DB"
    both = read("DM01DB", N1=0.4, _83=0.1)
    assert met(matcher("DN01DB", "DM01DB".replace("M", "N")).match(both, NOW)) == ("confusable", "DN01DB")


def test_the_number_of_candidates_is_bounded_whatever_was_read() -> None:
    everything = PlateRead(
        encode("B8B8B8B8B8B8"), np.full((12, 36), 1 / 36, np.float32), np.full(12, 0.5, np.float32), 5, 5
    )
    most = MOST_DOUBTS + MOST_DOUBTS * (MOST_DOUBTS - 1) // 2
    for paths in (look_alikes, top_paths):
        assert len({reveal(path) for path in paths(everything.classes, everything.posteriors)}) <= most


def test_candidates_come_likeliest_first_and_are_overwritten() -> None:
    seen = read("D801DB", B1=0.4, S1=0.2, O2=0.05)
    paths = top_paths(seen.classes, seen.posteriors)
    spelling = next(paths)
    assert reveal(spelling) == "DB01DB"
    assert reveal(next(paths)) == "DS01DB"
    assert list(paths)
    assert not spelling.any()
    abandoned = top_paths(seen.classes, seen.posteriors)
    spelling = next(abandoned)
    abandoned.close()
    assert not spelling.any()


@pytest.mark.parametrize("most", list(MatchClass))
def test_no_text_is_made_of_a_plate_that_is_not_listed(most: MatchClass) -> None:
    seen = read("Q8Q0Q7", B1=0.4, O3=0.4)
    assert matcher("DB01DB", most=most).match(seen, NOW) is None
    gc.collect()
    texts = [reveal(encode(text)) for text in ("Q8Q0Q7", "QBQ0Q7", "Q8QOQ7", "QBQOQ7")]
    known = {id(text) for text in texts} | {id(texts)}
    left = [
        item for item in gc.get_objects() if isinstance(item, str | bytes) and item in texts and id(item) not in known
    ]
    assert left == []


def test_the_lists_plates_are_not_kept_in_clear() -> None:
    table = TokenTable.of([("DB01DB", group())])
    kept = repr([getattr(table, name) for name in vars(table)])
    assert "DB01DB" not in kept
    assert repr(bytes(encode("DB01DB")))[2:-1] not in kept


def test_a_read_that_meets_nothing_and_doubts_nothing_is_looked_up_in_microseconds() -> None:
    plates = ["".join(ALPHABET[(index // 7**place) % 36] for place in range(6)) for index in range(20_000)]
    crowded, seen = matcher(*plates), read("KR99ZX")
    assert crowded.match(seen, NOW) is None
    fastest = min(timeit.repeat(lambda: crowded.match(seen, NOW), number=200, repeat=25)) / 200
    # 4 µs on an idle core; the room is for a machine that does other things as well.
    assert fastest < 20e-6
