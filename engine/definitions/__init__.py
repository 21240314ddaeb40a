"""Definitions: segments and the models they score by; reading and checking them, their canonical form, their words."""

from engine.definitions.check import check
from engine.definitions.document import Segment, canonical
from engine.definitions.errors import DefinitionError, DefinitionErrors
from engine.definitions.model import Definition, Model, canonical_form
from engine.definitions.reading import (
    Documents,
    load_definitions,
    load_folder,
    parse_definitions,
    parse_segment,
    read_definition,
    read_segment,
)

__all__ = [
    "Definition",
    "DefinitionError",
    "DefinitionErrors",
    "Documents",
    "Model",
    "Segment",
    "canonical",
    "canonical_form",
    "check",
    "load_definitions",
    "load_folder",
    "parse_definitions",
    "parse_segment",
    "read_definition",
    "read_segment",
]
