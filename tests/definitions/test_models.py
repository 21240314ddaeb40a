"""Models of cut points: read beside segments, checked with them, one form for what means the same."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

from engine.cli.segments_shown import as_yaml
from engine.definitions import (
    DefinitionErrors,
    Model,
    canonical_form,
    check,
    load_definitions,
    parse_definitions,
    parse_segment,
    read_definition,
)
from engine.definitions import model as models
from engine.definitions.advice import advice
from engine.definitions.reading import parse_segments

SHOP = """
model: shop-2026
name: Shop
event: purchase
where: {currency: EUR}
amount: amount
cuts:
  recency: [P30D, P60D, P90D, P180D]
  frequency: [2, 3, 5, 8]
  monetary: [50, 100, 200.5, 500]
"""
CHAMPIONS = "segment: champions\nwhen: {rfm: {model: shop-2026, recency: 5, monetary: {gte: 4}}}\n"


def one(text: str) -> Model:
    segments, (found,) = parse_definitions(text, "m.yaml")
    assert not segments
    return found


def mistakes(text: str) -> list[str]:
    with pytest.raises(DefinitionErrors) as error:
        check(*parse_definitions(text, "m.yaml"))
    return [str(each) for each in error.value.errors]


def test_models_and_segments_stand_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{CHAMPIONS}---\n{SHOP}", encoding="utf-8")
    (tmp_path / "b.json").write_text('{"segment": "shop-2026", "when": {"in_segment": "champions"}}', encoding="utf-8")
    segments, (model,) = load_definitions(tmp_path)
    assert [segment.segment for segment in segments] == ["champions", "shop-2026"]
    assert model.model == "shop-2026"
    # An id may be a segment's and a model's: their keys differ.
    assert {segments[1].key, model.key} == {("default", "shop-2026"), ("default", "model:shop-2026")}


def test_it_reads_back_as_itself() -> None:
    model = one(SHOP + "computed: {at: 2026-05-01T00:00:00Z, contacts: 995, units: whole}")
    found = canonical_form(model)
    assert found["cuts"]["recency"] == ["P30D", "P60D", "P90D", "P180D"]
    assert (found["event"], found["monetary"], found["computed"]["contacts"]) == (["purchase"], "average", 995)
    assert "within" not in found
    again = read_definition(found)
    assert isinstance(again, Model)
    assert canonical_form(again) == canonical_form(one(as_yaml(model))) == found
    assert as_yaml(model).startswith("model: shop-2026\nname: Shop\nevent:\n")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("event: purchase", "event: [purchase]", True),
        ("amount: amount", "amount: amount\nmonetary: average", True),
        ("[P30D, P60D", "[P30D, P1DT1416H", True),
        ("[2, 3, 5, 8]", "[2, 3, 5, 9]", False),
        ("amount: amount", "amount: amount\nmonetary: total", False),
        ("amount: amount", "amount: amount\nwithin: P365D", False),
        ("[P30D, P60D", "[P1M, P60D", False),
    ],
)
def test_what_means_the_same_has_one_form(old: str, new: str, same: bool) -> None:
    assert (canonical_form(one(SHOP)) == canonical_form(one(SHOP.replace(old, new)))) is same


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("model: shop-2026", "model: Shop 2026", "m.yaml:2:8: model: 'Shop 2026' is not a model id"),
        ("amount: amount", "amonut: amount", "m.yaml:6:1: amonut: unknown key 'amonut'. Did you mean 'amount'?"),
        ("amount: amount\n", "", "'amount' is missing"),
        ("frequency:", "freqency:", "m.yaml:9:3: cuts.freqency: unknown key 'freqency'. Did you mean 'frequency'?"),
        ("[2, 3, 5, 8]", "[2, 3, 5]", "m.yaml:9:14: cuts.frequency: 3 entries here is too few"),
        ("[2, 3, 5, 8]", "[2, 5, 3, 8]", "cuts.frequency: the cut points do not ascend: 3 stands after 5"),
        ("[2, 3, 5, 8]", "[0, 3, 5, 8]", "cuts.frequency[0]: 0 is not a number of purchases"),
        ("[2, 3, 5, 8]", "[1, 3, 5, 10001]", "10001 is not a number of purchases"),
        ("P60D, P90D", "P60D, P59D", "cuts.recency: the cut points do not ascend: P59D stands after P60D"),
        ("P60D, P90D", "60, P90D", "cuts.recency[1]: 60 is not a duration"),
        ("P30D", "PT0S", "is no time at all"),
        ("200.5", "200.0000005", "cuts.monetary[2]: 200.0000005 is not an amount"),
        ("200.5", ".inf", "is not an amount"),
        ("500]", "1000000000000]", "is not an amount"),
        ("100, 200.5", "'100', 200.5", "'100' is not an amount"),
        (
            "name: Shop",
            "monetary: sum",
            "m.yaml:3:11: monetary: 'sum' is not allowed here. Allowed here: average, total",
        ),
        ("name: Shop", "within: P401D", "m.yaml:3:9: within: the window P401D is longer than the journal keeps facts"),
        ("name: Shop", "computed: {at: then, contacts: 1}", "computed.at: 'then' is not an instant"),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, told: str) -> None:
    assert old in SHOP
    assert told in "\n".join(mistakes(SHOP.replace(old, new, 1)))


def test_an_unknown_model_is_told_with_the_nearest_of_its_workspace() -> None:
    [told] = mistakes(f"{CHAMPIONS.replace('shop-2026', 'shop-206')}---\n{SHOP}")
    assert told.startswith("m.yaml:2:")
    assert "when.rfm.model: rfm names the unknown model 'shop-206'. Did you mean 'shop-2026'?" in told
    [told] = mistakes(f"{CHAMPIONS}---\nworkspace: other\n{SHOP}")
    assert "unknown model 'shop-2026'" in told
    [told] = mistakes(f"segment: s\nwhen: {{not: {{any: [{{rfm: {{model: m, recency: 5}}}}]}}}}\n---\n{SHOP}")
    assert "when.not.any[0].rfm.model" in told


def test_where_others_may_be_in_force_an_unknown_model_is_no_mistake() -> None:
    check(*parse_definitions(CHAMPIONS, "m.yaml"), complete=False)


def test_an_id_used_twice() -> None:
    [told] = mistakes(f"{SHOP}---\n{SHOP}")
    assert "the id 'shop-2026' is used twice in workspace default" in told
    check(*parse_definitions(f"{SHOP}---\nworkspace: other\n{SHOP}", "m.yaml"))


def test_cut_points_of_recency_may_be_older_than_the_journal() -> None:
    check([], [one(SHOP.replace("P180D", "P900D"))])


def test_where_segments_alone_are_asked_for_a_model_is_refused() -> None:
    with pytest.raises(DefinitionErrors, match="the model shop-2026 where only segments are asked for"):
        parse_segments(SHOP, "m.yaml")
    with pytest.raises(DefinitionErrors):
        parse_segment(SHOP)


def test_money_without_a_currency_is_advised_on() -> None:
    assert advice(one(SHOP)) == []
    [sentence] = advice(one(SHOP.replace("where: {currency: EUR}\n", "")))
    assert sentence.startswith("amount: amount is taken as it is, in whatever currency it came")


@pytest.mark.parametrize("document", [{"model": "m"}, {"model": "m", "cuts": None}, {"model": None, "event": "x"}])
def test_plain_json_that_is_no_model(document: Any) -> None:
    with pytest.raises(DefinitionErrors):
        read_definition(document)


def test_doctests() -> None:
    assert doctest.testmod(models).failed == 0
