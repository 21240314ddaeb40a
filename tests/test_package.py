"""The package says what it needs: whatever the code imports is a pinned dependency, not a guest of some other one."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "topics", "schemas", "deploy")
WITH_ITS_OWNER = {"pydantic-core"}
"""pydantic pins this one exactly itself."""


def named(requirements: list[str]) -> set[str]:
    return {re.split("[=<>;\\[ ]", one)[0].lower().replace("_", "-").replace(".", "-") for one in requirements}


def imported(folder: Path) -> set[str]:
    """Top-level names that the files below `folder` import."""
    names: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {*PACKAGES, "tests"}


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_what_is_imported_is_declared(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    more = {"deploy": ["local"], "tests": ["local", "dev", "bench"]}.get(package, [])
    declared = named([*project["dependencies"], *(one for extra in more for one in extras[extra])]) | WITH_ITS_OWNER
    owners = packages_distributions()
    for name in sorted(imported(ROOT / package)):
        have = {one.lower().replace("_", "-").replace(".", "-") for one in owners.get(name, [name])}
        assert have & declared, f"{package} imports {name}, which pyproject.toml does not declare for it"


def test_every_direct_pin_is_exact_and_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / ".ci" / "requirements.lock").read_text(encoding="utf-8")
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    for one in wanted:
        name, exact, version = one.partition("==")
        assert exact, f"{one} is not an exact pin"
        assert f"\n{name.replace('.', '-')}=={version} " in lock, f"{one} is not in the lock; run .ci/lock"
    assert "://" not in lock
