"""What is said of a segment that is not there."""

from __future__ import annotations

from engine.definitions.near import LISTED_MAX, near_segment


def test_a_list_that_is_cut_says_how_many_more_there_are() -> None:
    known = [("default", f"s{number:02}") for number in range(LISTED_MAX + 3)]
    told = near_segment("default", "nothing-like-it", known)
    assert told.startswith("It has s00, s01, ")
    assert told.endswith(f", s{LISTED_MAX - 1} and 3 more.")
    assert near_segment("default", "nothing-like-it", known[:2]) == "It has s00, s01."
