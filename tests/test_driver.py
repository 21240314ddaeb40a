"""The test driver's own example."""

from __future__ import annotations

import doctest

from tests import driver


def test_the_example_in_its_docstring() -> None:
    found = doctest.testmod(driver)
    assert (found.failed, found.attempted) == (0, 4)
