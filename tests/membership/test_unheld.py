"""What the journal no longer holds is said: which answers may rest on it, and which can't."""

from __future__ import annotations

import pytest

from engine.conditions.contact import Contact
from engine.conditions.instants import DAY, parse_instant
from engine.definitions import parse_segment
from engine.membership.placement import store_key
from engine.membership.plan import compile_plan
from engine.membership.replay import Replay
from engine.membership.unheld import horizon_of, unheld
from tests.driver import fact, line_of

NOW = "2026-03-01T00:00:00Z"


def told(when: str, *at: str, more: str = "", horizon: str = "2026-01-15T00:00:00Z") -> list[str]:
    """The segments of which it is said, of a contact with purchases `at` when the journal begins after `horizon`."""
    replay = Replay([])
    for each in at:
        replay.take(line_of(fact(each, "purchase")))
    contact = replay.contacts.contacts[store_key("default", "c-1")]
    documents = [f"segment: asked\n{more}when: {when}", "segment: nests\nwhen: {not: {in_segment: asked}}"]
    plan = compile_plan([(parse_segment(each), 1) for each in [*documents, "segment: other\nwhen: {tags: {any: [a]}}"]])
    workspace = plan.workspace("default")
    found = unheld(workspace, contact, parse_instant(horizon), workspace.features, parse_instant(NOW))
    return [segment.id for segment in found]


@pytest.mark.parametrize(
    "when",
    [
        "{did: {event: purchase}}",
        "{did: {event: purchase, within: P60D}}",
        "{did: {event: purchase, within: P2M}}",
        "{did: {event: purchase, since: 2026-01-10}}",
        "{did: {event: purchase, first: true, within: P3D}}",
        "{did: {event: purchase, of_last: 3}}",
        "{aggregate: {fn: sum, of: amount, event: purchase, is: {gt: 1}}}",
        "{regularly: {event: purchase, count: {gte: 1}, period: P10D, periods: 5, at_least: 2}}",
        "{sequence: {steps: [{event: purchase}, {event: click}]}}",
        "{streak: {of: {event: purchase}, without: {event: click}, at_least: 2}}",
        "{missed: {after: {event: purchase}, expect: {event: click}, within: P1D}}",
        "{held: {path: city, is: Moscow, for: P1D}}",
    ],
)
def test_what_goes_back_behind_the_horizon_is_told_with_whom_nests_it(when: str) -> None:
    assert told(when, "2026-01-01", "2026-02-01") == ["asked", "nests"]
    assert told(when, "2026-01-16", "2026-02-01") == [], "all that is known of the contact is in the journal"


@pytest.mark.parametrize(
    "when",
    [
        "{did: {event: purchase, within: P44D}}",
        "{did: {event: purchase, within: [P2D, P44D]}}",
        "{did: {event: purchase, since: 2026-01-16}}",
        "{did: {event: purchase, until: 2025-12-31}}",
        "{aggregate: {fn: max, of: amount, event: purchase, within: P1M, is: {gt: 1}}}",
        "{missed: {after: {event: purchase}, expect: {event: click}, within: P1D, for: P30D}}",
        "{sequence: {steps: [{event: purchase}, {event: click}], within: P30D}}",
        "{quiet: {event: purchase, for: P30D}}",
        "{known: {for: P100D}}",
        "{sample: {percent: 50, salt: a}}",
    ],
)
def test_what_the_journal_reaches_or_the_state_keeps_is_not(when: str) -> None:
    assert told(when, "2026-01-01", "2026-02-01") == []


def test_a_window_that_ends_with_the_month_is_told_until_none_of_it_can_count() -> None:
    # 31 January 01:00 and 30 January 23:00 both count up to 28 February: the earlier one for longer.
    asked = "{did: {event: purchase, within: P1M}}"
    assert told(asked, "2026-01-01", horizon="2026-01-31T01:00:00Z") == ["asked", "nests"]
    assert told(asked, "2026-01-01", horizon="2026-01-27T00:00:00Z") == []


def test_the_journal_begins_by_its_retention_or_where_its_bounds_have_cut_it() -> None:
    contact = Contact()
    assert horizon_of(contact, 500 * DAY, 400 * DAY) == 100 * DAY
    contact.journal_since = 120 * DAY
    assert horizon_of(contact, 500 * DAY, 400 * DAY) == 120 * DAY
    assert horizon_of(contact, 600 * DAY, 400 * DAY) == 200 * DAY
