"""The examples in docstrings of the lower layers say what is so."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import iter_modules

import pytest

from engine import conditions, definitions, membership

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (conditions, definitions, membership)
    for module in iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_there_are_examples() -> None:
    found = doctest.DocTestFinder(exclude_empty=True)
    assert sum(bool(each.examples) for name in MODULES for each in found.find(import_module(name))) > 40
