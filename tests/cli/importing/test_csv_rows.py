"""CSV as people have it: encodings, delimiters, quotes that were left open; a bad row costs itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.errors import UserError
from tests.cli.importing.files import seen, written

RUSSIAN = "телефон;имя\n79991234567;Анна Каренина\n79991234568;Пётр Ильич\n"
TWO: dict[str, tuple[dict[str, str], list[str]]] = {
    "79991234567": ({"name": "Анна Каренина"}, []),
    "79991234568": ({"name": "Пётр Ильич"}, []),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1251", "cp866", "koi8-r"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_encoding_is_found(tmp_path: Path, encoding: str, end: str) -> None:
    path = written(tmp_path, RUSSIAN.replace("\n", end), encoding)
    assert seen(path, "name=имя", contact="телефон").people == TWO


def test_the_encoding_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, "id;name\n1;Łukasz\n", "cp1250")
    assert seen(path, "name", encoding="windows-1250").people == {"1": ({"name": "Łukasz"}, [])}
    with pytest.raises(UserError, match="no encoding 'cp99999'"):
        seen(path, encoding="cp99999")
    utf16 = written(tmp_path, "id;name\n1;Łukasz\n", "utf-16-le")  # without a mark
    with pytest.raises(UserError, match="--encoding utf-16-le"):
        seen(utf16)
    assert list(seen(utf16, encoding="utf-16-le").people) == ["1"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["phone", "name", "note"], ["1", "Anna", "a"], ["2", '"Ivan; Jr, | \t"', "b"], ["3", "Olga", "c"]]
    path = written(tmp_path, "".join(delimiter.join(row) + "\n" for row in rows))
    found = seen(path, "name", "note")
    assert {contact: each[0]["note"] for contact, each in found.people.items()} == {"1": "a", "2": "b", "3": "c"}
    assert found.people["2"][0]["name"] == "Ivan; Jr, | \t".strip()


def test_one_column_has_no_delimiter(tmp_path: Path) -> None:
    assert list(seen(written(tmp_path, "phone\n1\n2\n")).people) == ["1", "2"]
    assert list(seen(written(tmp_path, "79991\n79992\n"), header=False).people) == ["79991", "79992"]


def test_a_given_delimiter_wins(tmp_path: Path) -> None:
    path = written(tmp_path, "id,a;name\n1,x;Anna\n")
    assert seen(path, "name", contact="id,a", delimiter="semicolon").people == {"1,x": ({"name": "Anna"}, [])}
    with pytest.raises(UserError, match="one character"):
        seen(path, delimiter="<>")


def test_bytes_that_are_no_text_cost_their_row(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("id,name\n1,Анна\n".encode() + b"2,\xff\xfe\n" + "3,Пётр\n4,Ольга\n".encode())
    found = seen(path, "name")
    assert list(found.people) == ["1", "3", "4"]
    assert list(found.bad) == [3]
    assert "no utf-8 text" in found.bad[3]


def test_a_cell_may_hold_line_breaks_and_lines_are_counted_through_them(tmp_path: Path) -> None:
    found = seen(written(tmp_path, 'id,name\n1,"An\nna"\n,x\n3,y\n'), "name")
    assert found.people["1"] == ({"name": "An\nna"}, [])
    assert list(found.bad) == [4]


@pytest.mark.parametrize("many", [1, 60, 300])
def test_a_quote_left_open_costs_its_own_line_alone(tmp_path: Path, many: int) -> None:
    """At the file's end, before another quote, and more than a hundred lines before its end."""
    lines = ["id,name", "1,Anna", '2,"Ivan', *(f"{3 + n},x" for n in range(many)), '1000,"Olga, Jr"']
    found = seen(written(tmp_path, "\n".join(lines)), "name")
    assert list(found.bad) == [3]
    assert "quote" in found.bad[3]
    assert len(found.people) == many + 2
    assert found.people["1000"] == ({"name": "Olga, Jr"}, [])


def test_a_quote_left_open_in_the_last_line(tmp_path: Path) -> None:
    found = seen(written(tmp_path, 'id,name\n1,Anna\n2,"Ivan'), "name")
    assert (list(found.people), found.bad) == (["1"], {3: "a quote is opened and never closed"})


def test_endless_lines_and_values_are_passed_over(tmp_path: Path) -> None:
    text = f"id,name\n1,{'x' * 200_000}\n2,{'y' * 3_000_000}\n3,z\n"
    found = seen(written(tmp_path, text), "name")
    assert list(found.people) == ["3"]
    assert [("characters" in why) for why in found.bad.values()] == [True, True]
    assert list(found.bad) == [2, 3]


@pytest.mark.parametrize("text", ["", "\n\n\n", "id,name\n"])
def test_nothing_to_read(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    if text.startswith("id"):
        assert seen(path).people == {}
    else:
        with pytest.raises(UserError):
            seen(path)


def test_what_is_neither(tmp_path: Path) -> None:
    old = tmp_path / "people.xls"
    old.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    with pytest.raises(UserError, match="neither CSV nor XLSX"):
        seen(old)
    with pytest.raises(UserError, match="cannot be read"):
        seen(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match="no sheets"):
        seen(written(tmp_path, "id\n1\n"), sheet="People")
