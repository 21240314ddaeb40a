"""The published contracts: JSON Schemas of what goes through the topics, with examples. Nothing here knows the engine.

Written from the engine's models by `python -m engine.cli.contracts`; a test holds them against the models.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

NAMES: Final = ("event", "segment", "model", "transition", "definition", "explanation", "contact", "plan", "counts")
"""`event`: values of the inputs; `segment` and `model`: the documents people write; `transition`: values of
segments.transitions, segments.members and the segments' own topics; `definition`: values of segments.definitions and
its history; `explanation`: the HTTP interface's answer to why; `contact`: its answer to who; `plan`: its answer to what
a change of definitions would do, as `segments plan` keeps it in a file; `counts`: its answer to how a segment grew."""


def load(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of NAMES. Raises FileNotFoundError for any other."""
    found: dict[str, Any] = json.loads((files("schemas") / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def examples(name: str) -> dict[str, list[dict[str, Any]]]:
    """Examples under `valid` and `invalid`, each with `why` and the `document`."""
    found: dict[str, Any] = json.loads((files("schemas") / "examples" / f"{name}.json").read_text(encoding="utf-8"))
    return found
