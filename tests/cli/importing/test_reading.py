"""Columns found, cells read, bad rows told by line, duplicates folded, in memory that does not grow with the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.errors import UserError
from engine.cli.importing.cells import BadCell, ValueType, contact_of, value_of
from engine.cli.importing.columns import read_mapping
from tests.cli.importing.files import seen, workbook, written


def test_r1_one_phone_twice_and_a_bad_row(tmp_path: Path) -> None:
    text = "phone,name,tags\n7001,Anna,promo\n,Nobody,x\n7001,Anna K.,vip\n7002,,promo;new\n"
    found = seen(written(tmp_path, text), "name", tags="tags")
    assert found.people == {"7001": ({"name": "Anna K."}, ["promo", "vip"]), "7002": ({}, ["promo", "new"])}
    assert found.bad == {3: "column 'phone': it names no contact"}
    assert (found.folded, found.read.rows, found.read.nameless) == (1, 4, 1)


def test_later_rows_win_also_across_what_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.cli.importing.staging.BATCH", 2)
    text = "id,a,b,tags\n1,x,,s\n2,x,,\n3,x,,\n1,,y,t\n4,,,\n1,z,,s\n"
    found = seen(written(tmp_path, text), "a", "b", tags="tags")
    assert found.people["1"] == ({"a": "z", "b": "y"}, ["s", "t"])
    assert (sorted(found.people), found.folded) == (["1", "2", "3", "4"], 2)


def test_a_contact_too_long_for_an_event_is_a_bad_row(tmp_path: Path) -> None:
    text = f"id,a,b\n1,{'x' * 60},\n1,,{'y' * 60}\n2,{'z' * 120},\n3,s,\n"
    found = seen(written(tmp_path, text), "a", "b", bytes_max=100)
    assert sorted(found.people) == ["1", "3"]
    assert found.people["1"][0] == {"a": "x" * 60}
    assert sorted(found.bad) == [3, 4]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [("email,phone", "phone"), ("Phone,Contact", "Contact"), ("ID,email", "ID"), ("e,contact_id,id", "contact_id")],
)
def test_the_contact_is_in_the_first_usual_column(tmp_path: Path, names: str, chosen: str) -> None:
    columns = names.split(",")
    found = seen(written(tmp_path, f"{names}\n{','.join(f'in {each}' for each in columns)}\n"))
    assert list(found.people) == [f"in {chosen}"]
    assert repr(chosen) in found.read.columns.told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"contact": "fone"}, "no column 'fone'. Did you mean 'phone'? The columns in line 1 are: phone, name, name"),
        ({"tags": "tagz"}, "no column 'tagz'"),
        ({"contact": "name"}, "2 columns are named 'name'"),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as told:
        seen(written(tmp_path, "phone,name,name\n1,a,b\n"), **options)  # type: ignore[arg-type]
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("attribute", "options", "said"),
    [
        ("nope", {}, "no column 'nope'. The columns in line 1 are: phone, name"),
        ("name:int", {}, "no column 'name:int'. Did you mean 'name'? The columns in line 1 are"),
        ("name", {"contact": "nope"}, "no column 'nope'. The columns in line 1 are: phone, name"),
    ],
)
def test_a_wide_bad_row_is_not_taken_for_the_header(
    tmp_path: Path, attribute: str, options: dict[str, str], said: str
) -> None:
    path = written(tmp_path, "phone,name\n1,a\n2,b\n3,c,,x,y\n")
    with pytest.raises(UserError) as told:
        seen(path, attribute, **options)  # type: ignore[arg-type]
    assert said in str(told.value)


def test_no_usual_column_asks_which_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--contact COLUMN. The columns in line 1 are: mobile, name"):
        seen(written(tmp_path, "mobile,name\n1,a\n"))


def test_too_many_columns_are_a_bad_row_and_empty_ones_are_not(tmp_path: Path) -> None:
    found = seen(written(tmp_path, "id,a\n1,x,,\n2,x,y\n3\n"), "a")
    assert found.people == {"1": ({"a": "x"}, []), "3": ({}, [])}
    assert found.bad == {3: "it has 3 columns, the header 2"}


@pytest.mark.parametrize("contact", ["7,99912E+10", "7.99912E+10", "", " ", "x" * 257, "я" * 129, None, False])
def test_what_is_no_contact(contact: str | bool | None) -> None:
    with pytest.raises(BadCell):
        contact_of(contact)


@pytest.mark.parametrize(("cell", "contact"), [(" +7 999 ", "+7 999"), ("007", "007"), (12.0, "12"), ("я" * 128,) * 2])
def test_contacts_are_as_they_are_written(cell: str | float, contact: str) -> None:
    assert contact_of(cell) == contact


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("12", None, b'"12"'), ("12", "number", b"12"), ("1 290,50", "number", b"1290.50"), ("-0.1", "number", b"-0.1"),
        ("12345678901234567890", "number", b"12345678901234567890"), (0.1, None, b"0.1"), (1e21, "text", None),
        ("1,2,3", "number", None), ("1e5", "number", None), ("", "number", b""),
        ("31.12.2026", "date", b'"2026-12-31"'),
        ("2026-12-31 23:59", "date", b'"2026-12-31T23:59:00"'), ("2026-02-30", "date", None),
        ("12/31/2026", "date", None),
        ("2026-12-31T23:59:59+03:00", "date", b'"2026-12-31T23:59:59+03:00"'), ("2026-12-31 25:00", "date", None),
        ("Да", "bool", b"true"), ("0", "bool", b"false"), ("maybe", "bool", None), (True, "text", b'"true"'),
    ],
)  # fmt: skip
def test_values_by_type(cell: str | float, kind: ValueType | None, value: bytes | None) -> None:
    if value is None:
        with pytest.raises(BadCell):
            value_of(cell, kind)
    else:
        assert (value_of(cell, kind) or b"") == value


def test_a_mapping_in_a_file_which_options_overrule(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(
        "contact: phone\nattributes: {city: Город, born: {column: ДР, type: date}, name: null}\ntags: t\ntag: [a]\n",
        encoding="utf-8",
    )
    mapping = read_mapping(path, None, ["city=Town:text", "a:b=c:d"], "labels", ["b, a"])
    assert (mapping.contact, mapping.tags, mapping.tag) == ("phone", "labels", ("a", "b"))
    assert [(each.name, each.column, each.kind) for each in mapping.attributes] == [
        ("city", "Town", "text"), ("born", "ДР", "date"), ("name", "name", None), ("a:b", "c:d", None),
    ]  # fmt: skip
    for text, said in [
        ("contacts: x", "Did you mean contact?"), ("attributes: {a: {column: b, type: day}}", "attributes.a"),
        ("attributes: [a]", "name: COLUMN"), ("- a", "no keys"), ("a: {", "no YAML"), ("contact: [a]", "contact is"),
    ]:  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=said.replace("?", r"\?")):
            read_mapping(path, None, (), None, ())


MEASURED = """
import pathlib, re, sys
from engine.cli import main

assert main.run(["lists", "import", sys.argv[1], "--list", "x", "--attribute", "name", "--tags", "tags", "--dry-run",
                 "-o", "jsonl"]) == 0
print(int(re.search("VmHWM:.*?(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""


def megabytes(path: Path, rows: int) -> int:
    """The most resident memory of a process that reads so many rows, of which none may be missing."""
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    summary, most = done.stdout.splitlines()
    assert f'"rows":{rows}' in summary
    assert f'"contacts":{rows - 1}' in summary
    return int(most)


def people_csv(folder: Path, rows: int) -> Path:
    path = folder / "many.csv"
    with path.open("w") as file:
        file.write("phone,name,tags\n79990000000,Anna,\n")
        file.writelines(f'{79990000000 + n},Name {n},"promo, vip"\n' for n in range(rows - 1))
    return path


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    """50,000 rows are ten times what is folded in memory, a step below the database's own 32 MiB of pages."""
    few, many = megabytes(people_csv(tmp_path, 12_000), 12_000), megabytes(people_csv(tmp_path, 50_000), 50_000)
    assert many - few < 25, f"{few} MB for 12,000 rows, {many} MB for 50,000"


@pytest.mark.bench
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_million_rows_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    """Measured: CSV 140 MB in 42 s, XLSX with a million different names 240 MB in 119 s, on a busy machine."""
    rows = 1_000_000
    if kind == "csv":
        path = people_csv(tmp_path, rows)
    else:
        body = ((79990000000 + n, f"Name {n}", "promo, vip") for n in range(rows - 1))
        path = workbook(tmp_path, [["phone", "name", "tags"], [79990000000, "Anna", ""], *body])
    assert megabytes(path, rows) < 300
