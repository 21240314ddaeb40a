"""Segment definitions: the document, reading and checking it, its canonical form, and what differs between two."""

from engine.definitions.check import check
from engine.definitions.document import Segment, canonical
from engine.definitions.errors import DefinitionError, DefinitionErrors
from engine.definitions.reading import load_folder, parse_segment, read_segment

__all__ = [
    "DefinitionError",
    "DefinitionErrors",
    "Segment",
    "canonical",
    "check",
    "load_folder",
    "parse_segment",
    "read_segment",
]
