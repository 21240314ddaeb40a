"""Where reading an input begins, and what is told when records are gone."""

from __future__ import annotations

import pytest

from engine.worker.beginning import ChangelogLost, beginning, refuse_lost


def test_reading_goes_on_at_the_position() -> None:
    assert beginning("t/0", 7, 3, 20) == (7, 0, "")
    assert beginning("t/0", 20, 20, 20) == (20, 0, "")


def test_without_a_position_it_is_the_first_record() -> None:
    assert beginning("t/0", None, 3, 20) == (3, 0, "")


def test_removed_records_are_counted_and_told() -> None:
    offset, lost, problem = beginning("t/0", 7, 9, 20)
    assert (offset, lost) == (9, 2)
    assert "2 records of t/0 (offsets 7 to 8)" in problem


def test_a_log_that_ends_before_the_position_is_told() -> None:
    offset, lost, problem = beginning("t/0", 7, 0, 3)
    assert (offset, lost) == (0, 1)
    assert "made anew" in problem


def test_a_changelog_that_lost_what_it_held_is_refused() -> None:
    with pytest.raises(ChangelogLost, match="committed offsets"):
        refuse_lost("log/0", position=False, begins_right=True, committed=True)
    with pytest.raises(ChangelogLost, match="identity"):
        refuse_lost("log/0", position=True, begins_right=False, committed=False)
    refuse_lost("log/0", position=False, begins_right=True, committed=False)
    refuse_lost("log/0", position=True, begins_right=True, committed=True)
