"""OneRoster CSV as it is written: columns to the letter, cells that a strict reader takes, all of it or nothing."""

import csv
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.oneroster.package import Package
from connectors.oneroster.sheets import FILES, Line, Note, Version, header, lines
from gateway.errors import ConfigError
from tests.strict_csv import checked

VERSIONS: tuple[Version, ...] = ("1.1", "1.2")
AT = datetime(2026, 11, 27, 9, 30, 0, 123_999, UTC)
ORG = {"sourcedId": "o-1", "name": "Wren School", "type": "school"}
CLASS = {
    "sourcedId": "c-1",
    "title": "Biology",
    "classType": "scheduled",
    "course": {"sourcedId": "k-1"},
    "school": {"sourcedId": "o-1"},
    "terms": [{"sourcedId": "t-1"}, {"sourcedId": "t-2"}],
}
USER = {
    "sourcedId": "u-1",
    "enabledUser": "true",
    "username": "kit",
    "givenName": "Kit",
    "familyName": "Sato",
    "roles": [
        {"roleType": "primary", "role": "teacher", "org": {"sourcedId": "o-1"}, "beginDate": "2026-08-17"},
        {"roleType": "secondary", "role": "teacher", "org": {"sourcedId": "o-2"}},
        {"roleType": "secondary", "role": "counselor", "org": {"sourcedId": "o-1"}},
    ],
}


def cells(version: Version, line: Line) -> dict[str, str]:
    """What a line says, by column, without what is empty."""
    named = zip(header(version, line.file)[3:], line.cells, strict=True)
    return {column: cell for column, cell in named if cell}


def of(version: Version, collection: str, record: dict[str, Any], *absent: str) -> tuple[list[Line], set[Note]]:
    found, notes = lines(version, collection, record, absent)
    return found, set(notes)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_has_the_columns_of_the_standard_in_their_order(contracts: Path, version: Version) -> None:
    folder = contracts / "oneroster" / "templates" / f"v{version.replace('.', 'p')}"
    published = {path.stem: path.read_text().split("\n")[0].strip() for path in folder.iterdir()}
    del published["manifest"]
    assert {file: ",".join(header(version, file)) for file in FILES[version]} == published
    assert len(published) == {"1.1": 13, "1.2": 21}[version]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", ["roster.zip", "roster"])
def test_a_package_is_valid_by_a_strict_reader(contracts: Path, tmp_path: Path, version: Version, place: str) -> None:
    with Package(tmp_path / place, version, "Planbridge", "Wren", delta=False, listed=["orgs", "categories"]) as made:
        for line in lines(version, "orgs", ORG)[0]:
            made.put(line)
        made.finish()
    assert [path.name for path in tmp_path.iterdir()] == [place], "nothing else is left"
    found = checked(tmp_path / place, contracts / "oneroster" / "templates", version)
    assert [row["name"] for row in found["orgs"]] == ["Wren School"]
    assert found["categories"] == [], "listed: there is none"
    assert made.modes["orgs"] == made.modes["categories"] == "bulk"
    assert made.modes["users"] == "absent"


def test_a_package_takes_nothing_away_and_is_written_where_only_we_can_read(tmp_path: Path) -> None:
    """A folder that only looks like a draft is somebody's, and a file that waits under a name can be read by its owner:
    the package must go into neither."""
    kept = tmp_path / "roster.zip.draft"
    kept.mkdir()
    (kept / "notes.txt").write_text("mine")
    waiting = tmp_path / "roster.zip.draft.zip"
    waiting.write_bytes(b"")
    waiting.chmod(0o644)
    with Package(tmp_path / "roster.zip", "1.2", "Planbridge", "Wren", delta=False, listed=["orgs"]) as made:
        made.finish()
    assert (kept / "notes.txt").read_text() == "mine"
    assert waiting.read_bytes() == b""
    assert (tmp_path / "roster.zip").stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 3


def test_a_delta_says_of_each_line_since_when_it_is_so_and_whether_it_is_gone(contracts: Path, tmp_path: Path) -> None:
    with Package(tmp_path / "delta.zip", "1.2", "Planbridge", "Wren", delta=True) as made:
        [line] = lines("1.2", "orgs", ORG)[0]
        made.put(line, AT)
        made.put(line._replace(id="o-2"), AT, gone=True)
        made.finish()
    found = checked(tmp_path / "delta.zip", contracts / "oneroster" / "templates")
    assert [(row["status"], row["dateLastModified"]) for row in found["orgs"]] == [
        ("active", "2026-11-27T09:30:00.123Z"),
        ("tobedeleted", "2026-11-27T09:30:00.123Z"),
    ]
    assert {mode for file, mode in made.modes.items() if file != "orgs"} == {"absent"}


def test_what_is_not_finished_leaves_no_trace_and_nothing_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "roster.zip"
    with pytest.raises(RuntimeError), Package(place, "1.2", "Planbridge", "Wren", delta=False) as made:
        made.put(lines("1.2", "orgs", ORG)[0][0])
        raise RuntimeError("the power went")
    assert list(tmp_path.iterdir()) == []
    left = tmp_path / ".roster.zip.planbridge-draft"  # of an export that was killed
    left.mkdir()
    (left / "users.csv").write_text("somebody")
    with Package(place, "1.2", "Planbridge", "Wren", delta=False) as made:
        made.finish()
    assert zipfile.ZipFile(place).namelist() == ["manifest.csv"]
    with pytest.raises(ConfigError) as error, Package(place, "1.2", "Planbridge", "Wren", delta=False):
        pass
    assert error.value.code == "export-exists"
    with (
        pytest.raises(ConfigError) as error,
        Package(tmp_path / "nowhere" / "roster.zip", "1.2", "Planbridge", "Wren", delta=False),
    ):
        pass
    assert error.value.code == "file-unwritable"


def test_a_cell_holds_what_the_standard_allows_and_what_it_does_not_is_told() -> None:
    item = {
        "sourcedId": "li-1",
        "title": "Quiz\r\none",
        "description": 'He said "no", twice',
        "assignDate": "2026-09-14T00:00:00.000Z",
        "dueDate": "2026-09-25",
        "class": {"sourcedId": "c-1"},
        "category": {"sourcedId": "cat-1"},
        "gradingPeriod": {"sourcedId": "t-1"},
        "school": {"sourcedId": "o-1"},
        "resultValueMin": 0,
        "resultValueMax": 99.5,
        "metadata": {"colour": "red"},
        "scoreScale": {"sourcedId": "s-1"},
        "learningObjectiveSet": [{"source": "case", "learningObjectiveIds": ["a/1", "b 2"]}],
    }
    [own, scale, first, second], notes = of("1.2", "lineItems", item)
    assert cells("1.2", own) == {
        "title": "Quiz  one",
        "description": 'He said "no", twice',
        "assignDate": "2026-09-14",
        "dueDate": "2026-09-25",
        "classSourcedId": "c-1",
        "categorySourcedId": "cat-1",
        "academicSessionSourcedId": "t-1",
        "resultValueMin": "0",
        "resultValueMax": "99.5",
        "schoolSourcedId": "o-1",
    }
    assert cells("1.2", scale) == {"lineItemSourcedId": "li-1", "scoreScaleSourcedId": "s-1"}
    assert [cells("1.2", one)["learningObjectiveId"] for one in (first, second)] == ["a/1", "b 2"]
    assert len({scale.id, first.id, second.id, own.id}) == 4
    assert {(note.field, note.what) for note in notes} == {
        ("title", "changed"),
        ("gradingPeriod", "changed"),
        ("metadata.colour", "lost"),
    }
    [own], notes = of("1.1", "lineItems", item)
    assert cells("1.1", own)["gradingPeriodSourcedId"] == "t-1"
    assert {(note.field, note.what) for note in notes} == {
        ("title", "changed"),
        ("school", "lost"),
        ("metadata.colour", "lost"),
        ("lineItemScoreScales", "lost"),
        ("lineItemLearningObjectiveIds", "lost"),
    }


@pytest.mark.parametrize(
    ("change", "field", "what"),
    [
        ({"sourcedId": "o 1"}, "sourcedId", "left out"),
        ({"sourcedId": "o" * 256}, "sourcedId", "left out"),
        ({"name": ""}, "name", "left out"),
        ({"type": "university"}, "type", "left out"),
        ({"type": "ext:university"}, None, None),
        ({"parent": {"sourcedId": "gone"}}, "parentSourcedId", "lost"),
    ],
)
def test_a_line_without_what_it_needs_is_left_out(change: dict[str, Any], field: str | None, what: str | None) -> None:
    found, notes = of("1.2", "orgs", ORG | change, "gone")
    assert bool(found) == (what != "left out")
    assert (field, what) in {(note.field, note.what) for note in notes} if field else not notes


@pytest.mark.parametrize(
    ("collection", "field", "value", "kept"),
    [
        ("results", "scoreDate", "2026-02-30", False),
        ("results", "scoreDate", "20260228", False),
        ("results", "scoreStatus", "graded", False),
        ("results", "scoreStatus", "ext:graded", True),
        ("results", "score", "nan", True),  # a score may be left out
        ("demographics", "birthDate", "14.3.2011", True),
        ("enrollments", "role", "aide", False),
        ("enrollments", "primary", "True", True),
    ],
)
def test_what_is_no_such_value_is_not_written(collection: str, field: str, value: str, kept: bool) -> None:
    record = {
        "results": {"sourcedId": "r", "lineItem": {"sourcedId": "l"}, "student": {"sourcedId": "u"}, "scoreStatus":
                    "exempt", "scoreDate": "2026-09-01"},
        "demographics": {"sourcedId": "u"},
        "enrollments": {"sourcedId": "e", "class": {"sourcedId": "c"}, "school": {"sourcedId": "o"},
                        "user": {"sourcedId": "u"}, "role": "student"},
    }[collection]  # fmt: skip
    found, notes = of("1.2", collection, record | {field: value})
    assert bool(found) == kept
    if not value.startswith("ext:"):
        assert {note.field for note in notes} == {field}
        assert all(value not in cell for line in found for cell in line.cells)


def test_a_list_with_a_comma_in_it_and_a_number_with_braces_are_told() -> None:
    [made], notes = of("1.2", "classes", CLASS | {"subjects": ["Art, modern", "Music"], "periods": ["1", " 2 "]})
    assert (cells("1.2", made)["subjects"], cells("1.2", made)["periods"]) == ("Art; modern,Music", "1,2")
    assert cells("1.2", made)["termSourcedIds"] == "t-1,t-2"
    assert {(note.field, note.what) for note in notes} == {("subjects", "changed")}
    ids = [{"type": "State", "identifier": "0:7"}, {"type": "a:b", "identifier": "1"}, {"type": "x", "identifier": "{"}]
    made, *_ = of("1.2", "users", USER | {"userIds": ids})[0]
    assert cells("1.2", made)["userIds"] == "{State:0:7}"


def test_roles_have_a_file_in_1_2_and_one_place_in_1_1() -> None:
    [own, *roles], notes = of("1.2", "users", USER)
    assert (own.file, {role.file for role in roles}, notes) == ("users", {"roles"}, set())
    assert [(cells("1.2", role)["role"], cells("1.2", role)["orgSourcedId"]) for role in roles] == [
        ("teacher", "o-1"), ("teacher", "o-2"), ("counselor", "o-1"),
    ]  # fmt: skip
    assert [role.id for role in of("1.2", "users", USER)[0]] == [own.id, *(role.id for role in roles)], "ids stay"
    [old], notes = of("1.1", "users", USER)
    assert (cells("1.1", old)["role"], cells("1.1", old)["orgSourcedIds"]) == ("teacher", "o-1,o-2")
    assert {note.reason for note in notes} == {
        "OneRoster 1.1 has one role for a person",
        "OneRoster 1.1 CSV has no column for when",
    }
    for version in VERSIONS:
        nobody, notes = of(version, "users", {**USER, "roles": []})
        assert (nobody, {note.what for note in notes}) == ([], {"left out"})
    student = {"roleType": "secondary", "role": "student", "org": {"sourcedId": "o-3"}}
    [old] = of("1.1", "users", {**USER, "roles": [*USER["roles"], student]})[0]
    assert cells("1.1", old)["role"] == "student", "first of all a student"


def test_a_person_without_a_place_is_in_no_file() -> None:
    found, notes = of("1.2", "users", USER, "o-1", "o-2")
    assert found == []
    assert ("users", "roles", "left out") in {note[:3] for note in notes}


def test_the_files_are_as_rfc_4180_has_them(tmp_path: Path) -> None:
    place = tmp_path / "roster.zip"
    with Package(place, "1.2", "Planbridge", "Wren", delta=False) as made:
        made.put(lines("1.2", "orgs", ORG | {"name": 'The "Wren", Åse'})[0][0])
        made.finish()
    data = zipfile.ZipFile(place).read("orgs.csv")
    assert data.endswith(b'o-1,,,"The ""Wren"", \xc3\x85se",school,,\r\n') and data.count(b"\n") == data.count(b"\r\n")
    assert next(csv.reader(io.StringIO(data.decode())))[0] == "sourcedId"
