from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.watch.ratchet import Ratchet
from edge_anpr.watch.watchlist import ListRefused


def test_an_older_version_stays_refused_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ratchet.json"
    Ratchet(path).advance("key", 7, "aa")
    again = Ratchet(path)
    again.check("key", "list", 7, "aa")
    again.check("key", "list", 8, "bb")
    for version in range(7):
        with pytest.raises(ListRefused, match="older lists stay out"):
            again.check("key", "list", version, "aa")
    with pytest.raises(ListRefused, match="another list"):
        again.check("key", "list", 7, "bb")
    again.check("other key", "list", 1, "cc")


def test_what_was_withdrawn_stays_refused_after_a_restart_and_a_newer_version_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "ratchet.json"
    ratchet = Ratchet(path)
    ratchet.advance("key", 7, "aa")
    ratchet.withdraw("list", 7)
    ratchet.withdraw("list", 5)  # an old withdrawal that comes again changes nothing
    again = Ratchet(path)
    with pytest.raises(ListRefused, match="withdrawn"):
        again.check("key", "list", 7, "aa")
    again.check("key", "list", 8, "bb")
    again.check("key", "other", 7, "aa")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"schema":"anpr.ratchet/1"}', '{"schema":"x"}',
                                     '{"schema":"anpr.ratchet/1","versions":{"a":[1]},"withdrawn":{}}'])  # fmt: skip
def test_a_damaged_file_stops_lists_instead_of_forgetting_what_was_old(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ratchet.json"
    path.write_text(content)
    with pytest.raises(Unusable, match="is damaged"):
        Ratchet(path)


def test_a_version_that_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    ratchet = Ratchet(tmp_path / "ratchet.json")
    (tmp_path / "ratchet.part").mkdir()
    with pytest.raises(Unusable, match="cannot be written"):
        ratchet.advance("key", 7, "aa")
    ratchet.check("key", "list", 6, "bb")
