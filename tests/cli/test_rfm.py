"""`segment-engine rfm`, and models in the commands that take definitions."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.driver import command, fact, given, line_of

BUYERS = 6
PURCHASES = [
    fact(f"2026-04-{day:02d}T12:00Z", "purchase", f"c-{contact}", named=f"{contact}/{day}", amount=contact * 10)
    for contact in range(1, BUYERS + 1)
    for day in range(contact, 2 * contact)  # c-1 once, c-2 twice …; c-6 last, on the 11th
]
AT = "2026-05-01"
SHOP = """model: shop
event: purchase
where: {currency: EUR}
amount: amount
cuts: {recency: [P30D, P60D, P90D, P180D], frequency: [2, 3, 5, 8], monetary: [50, 100, 200, 500]}
"""
OFTEN = "segment: often\nwhen: {rfm: {model: shop, frequency: {gte: 2}}}\n"


def quintiles(facts: Sequence[dict[str, Any]], *words: str, at: str = AT) -> tuple[dict[str, Any], str]:
    """The model that the command makes of facts on standard input, and what it said beside."""
    text = io.TextIOWrapper(io.BytesIO(b"".join(line_of(each) + b"\n" for each in facts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", text)
        code, out, errors = command(["rfm", "quintiles", "--events", "-", "--at", at, "-o", "json", *words])
    assert code == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found, errors


def refused(tmp_path: Path, facts: Sequence[dict[str, Any]], *words: str) -> str:
    (tmp_path / "f.jsonl").write_bytes(b"".join(line_of(each) + b"\n" for each in facts))
    code, out, errors = command(["rfm", "quintiles", "--events", str(tmp_path / "f.jsonl"), *words])
    assert (code, out) == (2, "")
    return errors


def test_cut_points_are_the_quintiles_right_above() -> None:
    model, said = quintiles(PURCHASES)
    # Last purchases at noon on the 1st, 3rd, 5th … 11th: 19.5, 21.5 … 29.5 days before; quintiles of six values.
    assert model["cuts"] == {
        "recency": ["P21DT12H0.001S", "P23DT12H0.001S", "P25DT12H0.001S", "P27DT12H0.001S"],
        "frequency": [3, 4, 5, 6],
        "monetary": [20.000001, 30.000001, 40.000001, 50.000001],
    }
    assert model["computed"] == {"at": "2026-05-01T00:00:00.000Z", "contacts": 6, "units": "exact"}
    assert (model["model"], model["event"], model["monetary"]) == ("rfm-2026-05-01", ["purchase"], "average")
    assert said == "21 facts, 6 contacts with scores\n"


def test_whole_units_reach_a_day_a_purchase_and_a_unit_of_money_further() -> None:
    model, _ = quintiles(PURCHASES, "--units", "whole", "--monetary", "total")
    assert model["cuts"] == {
        "recency": ["P22DT12H", "P24DT12H", "P26DT12H", "P28DT12H"],
        "frequency": [3, 4, 5, 6],
        "monetary": [41, 91, 161, 251],
    }


def test_each_fifth_of_a_population_has_its_score() -> None:
    ten = [fact(f"2026-04-{day:02d}", "purchase", f"c-{day}", amount=day) for day in range(1, 11)]
    model, _ = quintiles(ten, "--model-id", "m")
    texts = [json.dumps(model)]
    for part in ("recency", "monetary"):
        texts += [f"segment: {part}-{n}\nwhen: {{rfm: {{model: m, {part}: {n}}}}}" for n in range(1, 6)]
    seen = given("\n---\n".join(texts), ten).at(AT)
    for part in ("recency", "monetary"):
        assert [len(seen.members(f"{part}-{n}")) for n in range(1, 6)] == [2] * 5


def test_facts_count_by_their_own_instants_up_to_t_each_once_and_refunds_lessen() -> None:
    expected, _ = quintiles(PURCHASES)
    more = [
        *reversed(PURCHASES),  # in any order
        *PURCHASES,  # and once more
        fact("2026-05-01T00:00:00.001Z", "purchase", "c-1", amount=9999),
        fact("2026-05-02", "refund", "c-6", order_id="none"),
        fact("2026-04-20", "purchase", "c-9", order_id="gone", amount=5),
        fact("2026-04-21", "refund", "c-9", order_id="gone"),
        fact("2026-04-20", "click", "c-10"),
        fact("2026-04-20", "purchase", "c-11", workspace="other", amount=5),
    ]
    found, said = quintiles(more)
    assert found == expected
    assert "6 contacts with scores" in said


def test_what_arrived_since_is_included() -> None:
    later = [{**each, "arrives": "2026-06-01T00:00:00Z"} for each in PURCHASES]
    assert quintiles(later)[0] == quintiles(PURCHASES)[0]


def test_a_choice_of_purchases_a_window_and_a_workspace() -> None:
    chosen = [
        {**each, "workspace": "shop", "type": "order", "properties": {"sum": {"eur": n}, "currency": "EUR"}}
        for n, each in enumerate(PURCHASES, 1)
    ]
    other = {**chosen[0], "id": "x", "properties": {"sum": {"eur": 1}, "currency": "RUB"}}
    words = ["--event", "order", "--event", "sale", "--amount", "sum.eur", "--where", '{"currency": "EUR"}']
    model, _ = quintiles([*chosen, other], *words, "--within", "P25D", "-w", "shop", "--model-id", "last-days")
    assert (model["workspace"], model["model"], model["within"]) == ("shop", "last-days", "P25D")
    assert (model["event"], model["where"]) == (["order", "sale"], {"currency": {"eq": "EUR"}})
    assert model["computed"]["contacts"] == 3  # of orders from the 6th on: two, four and six
    assert model["cuts"]["frequency"] == [3, 4, 5, 6]


def test_the_snapshot_is_a_definition_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "facts.jsonl").write_bytes(b"".join(line_of(each) + b"\n" for each in PURCHASES))
    code, out, _ = command(
        ["rfm", "quintiles", "--events", str(tmp_path / "facts.jsonl"), "--at", AT, "--model-id", "shop"]
    )
    assert code == 0
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "model.yaml").write_text(out, encoding="utf-8")
    (folder / "often.yaml").write_text(OFTEN, encoding="utf-8")
    code, out, errors = command(["segments", "check", str(folder), "-o", "jsonl"])
    assert code == 0, errors
    assert [json.loads(line)["segment"] for line in out.splitlines()] == ["model:shop", "often"]


def test_lines_that_are_no_facts_are_told_and_the_rest_counts() -> None:
    model, said = quintiles([{"type": "purchase"}, *PURCHASES])
    assert model["computed"]["contacts"] == 6
    assert "-:1: no_contact" in said
    assert "1 lines refused: no_contact 1" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--at", "soon"], "--at: 'soon' is not"),
        (["--at", "2026-01-01"], "There are no quintiles: no contact has such a purchase by 2026-01-01T00:00:00.000Z"),
        (["--at", AT, "--amount", "price"], "There are no quintiles: no purchase that counts has an amount"),
        (["--at", AT, "--model-id", "My Shop"], "'My Shop' is not a model id"),
        (["--at", AT, "--within", "90 days"], "'90 days' is not a duration"),
        (["--at", AT, "--where", "currency=EUR"], "--where: not JSON"),
        (["--at", AT, "--where", '{"x": {"like": 1}}'], "unknown key 'like'"),
        (["--at", AT, "--event", "*"], "'*' is not an event type"),
    ],
)
def test_a_wrong_word_is_a_users_error(tmp_path: Path, words: list[str], told: str) -> None:
    assert told in refused(tmp_path, PURCHASES, *words)


def write(folder: Path, **texts: str) -> str:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return str(folder)


def test_models_are_checked_listed_and_shown_beside_segments(tmp_path: Path) -> None:
    folder = write(tmp_path, shop=SHOP, often=OFTEN)
    code, out, said = command(["segments", "check", folder, "-o", "jsonl"])
    assert code == 0
    assert said.endswith("\n2 definitions are sound\n")  # after the advice on what counts facts of all time
    words = {row["segment"]: row["conditions"] for row in map(json.loads, out.splitlines())}
    assert words["model:shop"].startswith(
        "scores purchase (where currency is EUR); recency from 5 down to 1 at 30 days"
    )
    assert words["often"] == "by the model shop, frequency is at least 2"
    code, out, _ = command(["segments", "list", "--dir", folder, "-o", "jsonl"])
    assert [json.loads(line)["segment"] for line in out.splitlines()] == ["model:shop", "often"]
    code, out, _ = command(["segments", "show", "model:shop", "--dir", folder])
    assert code == 0
    assert out.startswith(
        "# used in: often\n# What it scores:\n#   - scores purchase (where currency is EUR)\n#   - recency from 5"
    )
    assert "model: shop\nevent:\n- purchase\n" in out
    code, out, _ = command(["segments", "show", "model:shop", "--dir", folder, "-o", "json"])
    assert json.loads(out)["definition"]["cuts"]["frequency"] == [2, 3, 5, 8]
    code, _, said = command(["segments", "show", "shop", "--dir", folder])
    assert code == 2
    assert "model:shop" in said


def test_check_knows_the_nearest_model_and_the_mistakes_of_all_files(tmp_path: Path) -> None:
    folder = write(tmp_path, shop=SHOP, often=OFTEN.replace("model: shop", "model: shp"), bad="model: bad\nevent: x")
    code, _, said = command(["segments", "check", folder])
    assert code == 2
    for part in ("rfm names the unknown model 'shp'", "Did you mean 'shop'?", "bad.yaml", "'cuts' is missing"):
        assert part in said, said


def test_replay_and_recount_agree_on_a_folder_with_a_model(tmp_path: Path) -> None:
    folder = write(tmp_path, shop=SHOP, often=OFTEN)
    lines = [{**each, "properties": {**each["properties"], "currency": "EUR"}} for each in PURCHASES]
    events = tmp_path / "facts.jsonl"
    events.write_bytes(b"".join(line_of(each) + b"\n" for each in sorted(lines, key=lambda each: each["at"])))
    words = ["--segments", folder, "--events", str(events), "--until", AT]
    code, out, errors = command(["replay", *words])
    assert code == 0, errors
    assert len(out.splitlines()) == BUYERS - 1
    (tmp_path / "out.jsonl").write_text(out, encoding="utf-8")
    code, _, said = command(["recount", *words, "--transitions", str(tmp_path / "out.jsonl")])
    assert (code, said.splitlines()[-1]) == (0, "the recount agrees")


def test_a_model_comes_into_force_while_replay_runs() -> None:
    stricter: dict[str, Any] = {"model": "shop", "event": "purchase", "amount": "amount"}
    stricter["cuts"] = {"recency": ["P1D", "P2D", "P3D", "P4D"], "frequency": [4, 5, 6, 7], "monetary": [1, 2, 3, 4]}
    text = f"{SHOP.replace('where: {currency: EUR}', '')}---\n{OFTEN}"
    changes = [{"at": "2026-04-20T00:00:00Z", "apply": stricter}]
    seen = given(text, PURCHASES, changes).replayed(AT)
    assert [line for line in seen.told(None) if line.endswith("definition")] == [
        "exit often 2026-04-20T00:00:00.000Z definition"
    ] * 2  # c-2 and c-3
    assert seen.members("often") == {"c-4", "c-5", "c-6"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"delete": "model:shop"}, "rfm names the unknown model 'shop'"),
        ({"delete": "model:none"}, "there is no segment default/model:none to delete"),
        ({"apply": {"model": "shop"}}, "'event' is missing"),
    ],
)
def test_a_change_that_leaves_no_model_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    (tmp_path / "changes.jsonl").write_bytes(line_of({"at": "2026-04-20T00:00:00Z", **change}) + b"\n")
    (tmp_path / "facts.jsonl").write_bytes(line_of(PURCHASES[0]) + b"\n")
    folder = tmp_path / "definitions"
    folder.mkdir()
    words = ["--segments", write(folder, shop=SHOP, often=OFTEN), "--events", str(tmp_path / "facts.jsonl")]
    code, _, said = command(["replay", *words, "--definitions", str(tmp_path / "changes.jsonl")])
    assert code == 2
    assert told in said
