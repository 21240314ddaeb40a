"""XLSX as spreadsheets write it: numbers that are ids, dates, sheets, sizes that are wrong, damage."""

from __future__ import annotations

from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest

from engine.cli.errors import UserError
from engine.cli.importing.columns import read_mapping
from engine.cli.importing.reading import BadRows, stage
from engine.cli.importing.rows import open_people
from engine.cli.importing.staging import Staging
from tests.cli.importing.files import seen, workbook

SEEN = datetime(2026, 5, 1, 10, 30)  # noqa: DTZ001 - a cell has no zone


def test_cells_are_what_people_see_in_them(tmp_path: Path) -> None:
    path = workbook(
        tmp_path,
        [
            ["phone", "code", "amount", "born", "seen", "vip", "tags"],
            [79991234567.0, "007", 1290.5, date(1990, 1, 31), SEEN, True, "a; b,a"],
            [79991234568, "08", 12, None, None, False, 5],
        ],
    )
    found = seen(path, "code", "amount", "born", "seen", "vip", tags="tags")
    assert found.people == {
        "79991234567": (
            {"code": "007", "amount": 1290.5, "born": "1990-01-31", "seen": "2026-05-01T10:30:00", "vip": True},
            ["a", "b"],
        ),
        "79991234568": ({"code": "08", "amount": 12, "vip": False}, ["5"]),
    }
    assert seen(path, "amount:text").people["79991234567"][0] == {"amount": "1290.5"}


def test_the_header_may_stand_below_titles(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["Report of May"], [], ["Name", "Phone"], ["Anna", 7], ["Ivan", 8]])
    found = seen(path, "name")
    assert found.people == {"7": ({"name": "Anna"}, []), "8": ({"name": "Ivan"}, [])}
    assert found.read.columns.line == 3


def test_numbers_that_a_spreadsheet_has_cut_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["id", "n"], [1234567890123456, 1], [1, "#N/A"], [True, 1], ["ok", 1]])
    found = seen(path, "n")
    assert list(found.people) == ["ok"]
    assert [why.split(":")[0] for why in found.bad.values()] == ["column 'id'", "column 'n'", "column 'id'"]
    assert list(found.bad) == [2, 3, 4]


def test_a_sheet_is_chosen(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["id"], ["a"]], title="May", empty="Notes")
    with pytest.raises(UserError, match="nothing to import"):
        seen(path)
    assert list(seen(path, sheet="May").people) == ["a"]
    with pytest.raises(UserError, match="Did you mean 'May'"):
        seen(path, sheet="Mai")


def test_a_wrong_size_in_the_file_hides_no_rows(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["id", "name"], ["a", "Anna"], ["b", "Ivan"]])
    changed = tmp_path / "changed.xlsx"
    with ZipFile(path) as old, ZipFile(changed, "w") as new:
        for each in old.namelist():
            content = old.read(each)
            if each.endswith("sheet1.xml"):
                content = content.replace(b"<sheetData>", b'<dimension ref="A1:A2"/><sheetData>')
                assert b"dimension" in content
            new.writestr(each, content)
    assert list(seen(changed, "name").people) == ["a", "b"]


def test_a_workbook_is_one_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["id"], ["c-1"]])
    assert list(seen(path.rename(tmp_path / "people.csv")).people) == ["c-1"]


def test_a_bad_row_whose_cell_is_empty_quotes_nothing(tmp_path: Path) -> None:
    file, bad = open_people(workbook(tmp_path, [["id", "name"], ["c-1", "Anna"], [None, "Nobody"]])), BadRows()
    with closing(file), Staging(tmp_path / "staged", 200_000) as staging:
        stage(file, read_mapping(None, None, (), None, ()), staging, bad, header=True)
    assert [(each.line, each.text) for each in bad.shown] == [(3, "")]


def test_damage_is_told(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["id"], *([f"c-{n}"] for n in range(2_000))])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"damaged|cannot be read"):
        seen(path)
    path.write_text("id\n1\n")
    with pytest.raises(UserError, match="no XLSX file"):
        seen(path)
    with ZipFile(path, "w") as empty:
        empty.writestr("hello.txt", "hello")
    with pytest.raises(UserError, match="cannot be read"):
        seen(path)
