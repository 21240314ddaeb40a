"""The published contracts: up to date with the models, and of one mind with what the engine reads and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

import schemas
from engine.cli import contracts
from engine.definitions import (
    DefinitionErrors,
    Segment,
    canonical_form,
    load_definitions,
    load_folder,
    read_definition,
)
from engine.demo.shop_log import shop_log_lines
from engine.membership.explanation import as_json
from engine.membership.facts import Rejected, read_fact
from engine.membership.replay import Replay
from engine.membership.transitions import encode
from engine.worker.definition_log import Record

ROOT = Path(__file__).parents[2]
CASES = [
    (name, kind, each) for name in schemas.NAMES for kind, found in schemas.examples(name).items() for each in found
]


@pytest.mark.parametrize("name", schemas.NAMES)
def test_the_files_are_what_the_models_say(name: str) -> None:
    written = (ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    assert written == contracts.text(name), "run: python -m engine.cli.contracts"
    Draft202012Validator.check_schema(schemas.load(name))


@pytest.mark.parametrize(
    ("name", "kind", "example"), CASES, ids=lambda each: each["why"] if isinstance(each, dict) else each
)
def test_schema_and_engine_agree_on_every_example(name: str, kind: str, example: dict[str, Any]) -> None:
    document = example["document"]
    mistakes = [error.message for error in Draft202012Validator(schemas.load(name)).iter_errors(document)]
    assert bool(mistakes) == (kind == "invalid"), mistakes
    assert _engine_takes(name, document) == (kind == "valid")


def _engine_takes(name: str, document: Any) -> bool:
    if name == "event":
        value = json.dumps(document).encode()
        fact = read_fact(value, arrival=None, fallback_id="line/1", skew=0, max_bytes=262_144)
        return not isinstance(fact, Rejected)
    try:
        if name in ("segment", "model"):
            assert isinstance(read_definition(document), Segment) == (name == "segment")
        else:
            contracts.MODELS[name].model_validate_json(json.dumps(document))
    except (DefinitionErrors, ValueError):
        return False
    return True


def test_what_the_engine_writes_meets_its_contracts() -> None:
    transition, definition = (Draft202012Validator(schemas.load(name)) for name in ("transition", "definition"))
    folders = ("engine/demo/segments", "tests/generate/segments")
    for written in (each for folder in folders for kind in load_definitions(ROOT / folder) for each in kind):
        record = Record(*written.key, 1, "active", "anna", "2026-05-01T10:00:00.000Z", "", canonical_form(written))
        definition.validate(msgspec.to_builtins(record))
    replay = Replay(load_folder(ROOT / "engine/demo/segments"))
    causes = set()
    for line in shop_log_lines()[:3000]:
        for each in replay.take(line):
            causes.add(each.cause_kind)
            if each.sequence > 1 or len(causes) < 2:
                transition.validate(json.loads(encode(each)))
    assert causes == {"event", "clock"}


def test_what_the_engine_explains_meets_its_contract() -> None:
    contract = Draft202012Validator(schemas.load("explanation"))
    segments = [*load_folder(ROOT / "engine/demo/segments")]
    replay = Replay(segments)
    lines = shop_log_lines()[:2000]
    for line in lines:
        replay.take(line)
    decided = set()
    for line in lines[::100]:
        for segment in segments:
            contact = json.loads(line)["contact"]
            found = replay.explain(contact, segment.segment, segment.workspace)
            decided.add((found.decided.by, found.member))
            contract.validate(as_json(found))
    assert {("rule", True), ("rule", False)} <= decided


def test_definitions_of_the_repository_meet_the_contract_as_they_are_written() -> None:
    from ruamel.yaml import YAML

    contract_of = {name: Draft202012Validator(schemas.load(name)) for name in ("segment", "model")}
    files = [*(ROOT / "engine/demo/segments").glob("*.yaml"), *(ROOT / "tests/generate/segments").glob("*.yaml")]
    assert len(files) > 20
    for file in files:
        document = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        contract_of["model" if "model" in document else "segment"].validate(document)


def test_the_contracts_load_no_part_of_the_engine() -> None:
    import subprocess
    import sys

    script = (
        "import schemas, sys; schemas.load('event'); print([m for m in sys.modules if m.split('.')[0] == 'engine'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
