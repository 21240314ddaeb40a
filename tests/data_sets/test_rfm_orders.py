"""The orders of the R package rfm (`rfm_orders/SOURCE.md`): our quintiles and scores against its published answers."""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.driver import Given, command, fact, given, line_of

ORDERS = Path(__file__).parent / "rfm_orders" / "orders.csv"
AT = "2006-12-31"
SEEN_AT = "2006-12-31T00:00:00.001Z"
"""By then what falls due at AT has fallen due."""
SUMMARY = {
    # segment: its scores (recency, frequency, monetary; from and to), customers, orders, revenue
    "champions": ((5, 5), (5, 5), (5, 5), 35, 316, 31_646),
    "potential-loyalist": ((3, 5), (3, 5), (2, 5), 342, 2_211, 204_856),
    "loyal-customers": ((2, 4), (2, 4), (2, 4), 170, 799, 76_562),
    "promising": ((3, 4), (1, 3), (3, 5), 9, 28, 4_249),
    "new-customers": ((4, 5), (1, 3), (1, 5), 104, 329, 28_837),
    "cant-lose-them": ((1, 2), (3, 4), (4, 5), 47, 274, 32_446),
    "at-risk": ((1, 2), (2, 5), (4, 5), 28, 216, 22_227),
    "need-attention": ((1, 3), (3, 5), (3, 5), 10, 57, 4_562),
    "about-to-sleep": ((2, 3), (1, 3), (1, 4), 102, 283, 23_449),
    "lost": ((1, 1), (1, 5), (1, 5), 148, 393, 35_324),
}
"""As published; of several segments a customer is in the one that stands first."""


class Order(NamedTuple):
    customer: str
    day: date
    revenue: Fraction


@pytest.fixture(scope="module")
def orders() -> list[Order]:
    with ORDERS.open(encoding="utf-8", newline="") as text:
        return [
            Order(row["customer_id"], date.fromisoformat(row["order_date"]), Fraction(row["revenue"]))
            for row in csv.DictReader(text)
        ]


@pytest.fixture(scope="module")
def events(orders: list[Order], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rfm") / "orders.jsonl"
    file.write_bytes(b"".join(line_of(each) + b"\n" for each in _facts(orders)))
    return file


def _facts(orders: list[Order]) -> Iterator[dict[str, Any]]:
    for number, order in enumerate(orders):
        yield fact(str(order.day), "purchase", order.customer, named=f"o-{number}", amount=float(order.revenue))


def _model(events: Path, *words: str) -> str:
    code, out, errors = command(["rfm", "quintiles", "--events", str(events), "--at", AT, "--model-id", "m", *words])
    assert code == 0, errors
    assert "4,906 facts, 995 contacts with scores" in errors
    return out


def _segments(scores: dict[str, tuple[Any, ...]]) -> str:
    texts = []
    for place, (name, (recency, frequency, monetary, *_)) in enumerate(scores.items()):
        rule = f"{{model: m, recency: {_between(recency)}, frequency: {_between(frequency)}"
        rule += f", monetary: {_between(monetary)}}}"
        texts.append(f"segment: {name}\ngroup: {{name: rfm, priority: {-place}}}\nwhen: {{rfm: {rule}}}\n")
    return "---\n".join(texts)


def _between(scores: tuple[int, int]) -> str:
    return f"{{between: [{scores[0]}, {scores[1]}]}}"


def _looked_at(model: str, segments: str, orders: list[Order]) -> Given:
    return given(f"{model}---\n{segments}", [*_facts(sorted(orders, key=lambda order: order.day))])


def test_quintiles_and_ten_segments_are_as_published(orders: list[Order], events: Path) -> None:
    model = _model(events, "--units", "whole", "--monetary", "total")
    for cut in ("P115D", "P181D", "P297DT9H36M", "P482D", "4", "5", "6", "8", "255.8", "382", "506.4", "666"):
        assert f"  - {cut}\n" in model
    seen = _looked_at(model, _segments(SUMMARY), orders).at(SEEN_AT)
    members = {name: seen.members(name) for name in SUMMARY}
    assert {name: len(found) for name, found in members.items()} == {name: row[3] for name, row in SUMMARY.items()}
    for name, (*_, bought, revenue) in SUMMARY.items():
        of_members = [order for order in orders if order.customer in members[name]]
        assert (len(of_members), sum(order.revenue for order in of_members)) == (bought, revenue)
    assert sum(map(len, members.values())) == 995


def test_champions_of_the_package_s_tests(orders: list[Order], events: Path) -> None:
    model = _model(events, "--units", "whole", "--monetary", "total")
    best = {"champions": ((4, 5), (4, 5), (4, 5))}
    members = _looked_at(model, _segments(best), orders).at(SEEN_AT).members("champions")
    of_members = [order for order in orders if order.customer in members]
    assert (len(members), len(of_members), sum(order.revenue for order in of_members)) == (158, 1_234, 120_178)


def test_exact_quintiles_of_averages_against_the_standard_library(orders: list[Order], events: Path) -> None:
    figures = _figures(orders)
    cuts = [statistics.quantiles(column, n=5, method="inclusive") for column in zip(*figures.values(), strict=True)]
    expected = {
        name: tuple(1 + sum(value > cut for cut in cuts[part]) for part, value in enumerate(row))
        for name, row in figures.items()
    }
    scores = {f"{part}{score}": (part, score) for part in ("recency", "frequency", "monetary") for score in range(1, 6)}
    segments = "---\n".join(
        f"segment: {name}\nwhen: {{rfm: {{model: m, {part}: {score}}}}}\n" for name, (part, score) in scores.items()
    )
    seen = _looked_at(_model(events), segments, orders).at(SEEN_AT)
    for name, (part, score) in scores.items():
        place = ("recency", "frequency", "monetary").index(part)
        wanted = 6 - score if part == "recency" else score  # the longest ago is the worst
        assert seen.members(name) == {who for who, row in expected.items() if row[place] == wanted}, name
    sizes = Counter(row[2] for row in expected.values())
    assert all(190 <= sizes[score] <= 208 for score in range(1, 6))


def _figures(orders: list[Order]) -> dict[str, tuple[Fraction, Fraction, Fraction]]:
    """By customer: days since the last order, orders, and the average of them."""
    by_customer: dict[str, list[Order]] = {}
    for order in orders:
        by_customer.setdefault(order.customer, []).append(order)
    last = date.fromisoformat(AT)
    return {
        name: (
            Fraction(min((last - order.day).days for order in bought)),
            Fraction(len(bought)),
            sum((order.revenue for order in bought), Fraction()) / len(bought),
        )
        for name, bought in by_customer.items()
    }
