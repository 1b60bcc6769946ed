"""OneRoster CSV packages: real ones, whole; and made ones with whatever Excel and exports do to a file."""

import csv
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.oneroster import CONNECTOR
from connectors.oneroster.columns import NEVER_READ, header
from connectors.oneroster.files import FileSource, open_files
from connectors.oneroster.students import Students
from gateway.connector import START, Page
from gateway.errors import ConfigError
from mappings.oneroster import MAPPING

RESOURCES = {resource.name: resource for resource in CONNECTOR.resources}
HEADER = "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate"
ORGS = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId"


@pytest.fixture
def real(contracts: Path) -> Path:
    return contracts / "oneroster" / "csv"


def manifest(*files: str, version: str = "1.1", mode: str = "bulk") -> str:
    lines = ["propertyName,value", "manifest.version,1.0", f"oneroster.version,{version}"]
    return "\r\n".join([*lines, *(f"file.{name},{mode}" for name in files), "source.systemName,Made here", ""])


def package(folder: Path, files: Mapping[str, str | bytes], prefix: str = "") -> Path:
    """A zip of these files, with a manifest of them unless one is given."""
    path = folder / "package.zip"
    files = {"manifest.csv": manifest(*(name.removesuffix(".csv") for name in files)), **files}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(prefix + name, content)
    return path


def enrollment(n: int) -> str:
    return f"enr-{n},,,cls-1,sch-1,stu-{n},student,,2026-08-17,"


@asynccontextmanager
async def opened(path: Path) -> Any:
    source = await open_files(path)
    try:
        yield source
    finally:
        await source.close()


async def every_page(source: FileSource, name: str) -> list[Page]:
    pages = [await source.pull(RESOURCES[name], START)]
    while pages[-1].next:
        [cursor] = pages[-1].next
        pages.append(await source.pull(RESOURCES[name], cursor))
    return pages


async def rows_of(path: Path, name: str) -> list[dict[str, Any]]:
    async with opened(path) as source:
        return [msgspec.json.decode(row) for page in await every_page(source, name) for row in page.rows]


def numbered(pages: list[Page]) -> Iterator[tuple[int, str]]:
    """The number in the file and the id of every row."""
    for page in pages:
        for n, row in enumerate(page.rows):
            assert page.first_row is not None
            yield page.first_row + n, msgspec.json.decode(row)["sourcedId"]


def unreadable(pages: list[Page]) -> list[tuple[str, str]]:
    return [(bad.position, bad.code) for page in pages for bad in page.unreadable]


def plain_reader(path: Path, name: str) -> list[dict[str, str]]:
    """The rows as a reader without any of our code sees them."""
    if path.is_dir():
        data = (path / f"{name}.csv").read_bytes()
    else:
        with zipfile.ZipFile(path) as package:
            data = package.read(f"{name}.csv")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def like_a_cell(record: dict[str, Any], column: str) -> str:
    """What of a record stands in this column of its file."""
    renamed = {"preferredGivenName": "preferredFirstName", "preferredFamilyName": "preferredLastName"}
    if column.startswith("metadata."):
        return str(record.get("metadata", {}).get(column.removeprefix("metadata."), ""))
    if column == "userIds":
        return ",".join(f"{{{one['type']}:{one['identifier']}}}" for one in record.get("userIds", ()))
    if column.endswith("SourcedIds"):
        return ",".join(one["sourcedId"] for one in record.get(column.removesuffix("SourcedIds") + "s", ()))
    if column.endswith("SourcedId"):
        return str(record.get(column.removesuffix("SourcedId"), {}).get("sourcedId", ""))
    value = record.get(renamed.get(column, column), "")
    return ",".join(value) if isinstance(value, list) else value


NEVER_THERE = {
    *("resources", "courseResources", "classResources", "userResources", "scoreScales"),
    *("lineItemScoreScales", "lineItemLearningObjectiveIds", "resultScoreScales", "resultLearningObjectiveIds"),
}
REAL = {
    "synthetic-district/maple_v1p1_bulk.zip": {"roles"},
    "synthetic-district/maple_v1p1_bulk_with_bom.zip": {"roles"},
    "synthetic-district/maple_v1p2_bulk.zip": set(),
    "edfi-lms-toolkit-v1p1": {"roles", "categories", "lineItems", "results"},
}
# Two teachers' rows end with one comma too many. Nobody can know which cell is the surplus one.
NOT_READABLE = {
    ("edfi-lms-toolkit-v1p1", "users"): [("row 10", "csv-wrong-field-count"), ("row 11", "csv-wrong-field-count")]
}


@pytest.mark.parametrize("name", REAL)
async def test_a_real_package_is_read_cell_for_cell_and_mapped(real: Path, name: str) -> None:
    path = real / name
    absent = set()
    codes = MAPPING.codes()
    async with opened(path) as source:
        for resource in source.resources:
            pages = await every_page(source, resource.name)
            if pages[0].absent:
                absent.add(resource.name)
                continue
            expected = plain_reader(path, resource.name)
            read = {
                n: msgspec.json.decode(row) for page in pages for n, row in enumerate(page.rows, page.first_row or 0)
            }
            assert unreadable(pages) == NOT_READABLE.get((name, resource.name), [])
            refused = {int(position.split()[1]) for position, _ in unreadable(pages)}
            assert read.keys() | refused == set(range(2, len(expected) + 2))
            for number, record in read.items():
                cells = expected[number - 2]
                assert {column: like_a_cell(record, column) for column in cells} == cells
                wire = msgspec.json.decode(json.dumps(record), type=resource.wire)
                assert list(MAPPING.inbound[resource.wire](wire, codes))
    assert absent == REAL[name] | NEVER_THERE
    assert not codes.unmapped


async def test_both_versions_of_one_district_say_the_same_of_classes(real: Path) -> None:
    both = [real / "synthetic-district" / f"maple_{version}_bulk.zip" for version in ("v1p1", "v1p2")]
    for name in ("orgs", "academicSessions", "courses", "classes", "enrollments", "demographics"):
        older, newer = [await rows_of(path, name) for path in both]
        assert older == newer != []


async def test_header_only_files_are_empty_not_absent(real: Path) -> None:
    async with opened(real / "nicelion-example") as source:
        pages = await every_page(source, "orgs")
        assert (list(pages[0].rows), pages[0].absent) == ([], "")
        page = await source.pull(RESOURCES["demographics"], START)
        assert page.absent == "demographics.csv is marked absent in manifest.csv, although demographics.csv is there"


async def test_a_folder_in_the_zip_and_the_clutter_of_a_mac_are_tolerated(tmp_path: Path) -> None:
    path = package(tmp_path, {"ORGS.csv": f"{ORGS}\nsch-1,,,Cedar,school,,\n"}, prefix="export/")
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("__MACOSX/export/._orgs.csv", b"\0\1")
        made.writestr("export/manifest.csv.bak", b"")
        made.writestr(".DS_Store", b"\0")
    assert (await rows_of(path, "orgs"))[0]["name"] == "Cedar"


async def test_bom_quotes_and_header_spellings_are_tolerated(tmp_path: Path) -> None:
    header = '\ufeff"SourcedID", status ,DATELASTMODIFIED,"Name",type,identifier,parentsourcedid,Metadata.city,Locker'
    path = package(tmp_path, {"orgs.csv": f'{header}\r\n"sch-1","","","Ida ""B"" Wells",school, ,dist-1,Cary,12\r\n'})
    assert await rows_of(path, "orgs") == [
        {
            "sourcedId": "sch-1",
            "name": 'Ida "B" Wells',
            "type": "school",
            "parent": {"sourcedId": "dist-1"},
            "metadata": {"city": "Cary", "Locker": "12"},
        }
    ]


async def test_misspelt_and_older_columns_are_known(tmp_path: Path) -> None:
    header = "sourcedId,status,dateLastModified,givenName,familyName,role,orgSourcedIds,agentSourceIds,grade,userIds"
    line = 'stu-1,,,Aiyana,Brandt,student,"sch-1, sch-2","par-1,par-2",09,"{sis:1},{LDAP:a:b}"'
    [row] = await rows_of(package(tmp_path, {"users.csv": f"{header}\n{line}"}), "users")
    assert row["orgs"] == [{"sourcedId": "sch-1"}, {"sourcedId": "sch-2"}]
    assert row["agents"] == [{"sourcedId": "par-1"}, {"sourcedId": "par-2"}]
    assert row["grades"] == ["09"]
    assert row["userIds"] == [{"type": "sis", "identifier": "1"}, {"type": "LDAP", "identifier": "a:b"}]


async def test_user_ids_of_another_form_stay_as_they_are(tmp_path: Path) -> None:
    header = "sourcedId,status,dateLastModified,givenName,familyName,userIds"
    [row] = await rows_of(package(tmp_path, {"users.csv": f"{header}\nstu-1,,,A,B,sis:1"}), "users")
    assert row["userIds"] == "sis:1"


async def test_a_bad_row_costs_no_other(tmp_path: Path) -> None:
    good = [enrollment(n) for n in range(2, 14)]
    lines = [line.encode() for line in good]
    lines[2] = b"enr-4,,,cls-1,sch-1"  # row 4
    lines[4] = enrollment(6).replace("cls-1", '"cls-1').encode()  # row 6: a quote that nothing closes
    lines[6] = enrollment(8).replace("cls-1", '"cls"-1').encode()  # row 8: a quote closed too early
    lines[7] = enrollment(9).encode() + b","
    lines[9] = enrollment(11).encode().replace(b"cls-1", b"cls-\xff")
    lines[10] = b"   "
    content = b"\r\n".join([HEADER.encode(), *lines])
    async with opened(package(tmp_path, {"enrollments.csv": content})) as source:
        pages = await every_page(source, "enrollments")
    assert unreadable(pages) == [
        ("row 4", "csv-wrong-field-count"),
        ("row 6", "csv-broken-quote"),
        ("row 8", "csv-broken-quote"),
        ("row 9", "csv-wrong-field-count"),
        ("row 11", "csv-not-utf-8"),
    ]
    assert list(numbered(pages)) == [(n, f"enr-{n}") for n in (2, 3, 5, 7, 10, 13)]


async def test_a_line_break_in_a_quoted_field_belongs_to_it(tmp_path: Path) -> None:
    header = "sourcedId,status,dateLastModified,lineItemSourcedId,studentSourcedId,comment"
    rows = ['r-1,,,li-1,stu-1,"Clear,\r\n""very"" clear\r\n"', "r-2,,,li-1,stu-2,plain", 'r-3,,,li-1,stu-3,"open']
    path = package(tmp_path, {"results.csv": "\r\n".join([header, *rows, "r-4,,,li-1,stu-4,last"])})
    async with opened(path) as source:
        pages = await every_page(source, "results")
    assert list(numbered(pages)) == [(2, "r-1"), (5, "r-2"), (7, "r-4")]
    assert msgspec.json.decode(pages[0].rows[0])["comment"] == 'Clear,\r\n"very" clear\r\n'
    assert unreadable(pages) == [("row 6", "csv-broken-quote")]


async def test_a_pull_goes_on_from_any_cursor_in_a_new_source(tmp_path: Path) -> None:
    lines = [enrollment(n) for n in range(2, 6502)]
    lines[2500] = "broken,row"
    lines[3000] = ""
    path = package(tmp_path, {"enrollments.csv": "\n".join([HEADER, *lines])})
    async with opened(path) as source:
        pages = await every_page(source, "enrollments")
    rows = list(numbered(pages))
    assert rows == [(n, f"enr-{n}") for n in range(2, 6502) if n not in (2502, 3002)]
    assert max(len(page.rows) for page in pages) == 2000
    for before, page in pairwise(pages):
        async with opened(path) as source:
            again = await source.pull(RESOURCES["enrollments"], before.next[0])
        assert (list(map(bytes, again.rows)), again.next) == (list(map(bytes, page.rows)), page.next)
        assert (again.first_row, unreadable([again])) == (page.first_row, unreadable([page]))
    async with opened(path) as source:
        for _ in range(2):
            again = await source.pull(RESOURCES["enrollments"], START)
            assert list(numbered([again])) == rows[:2000]


async def test_collections_out_of_the_package_are_absent_with_a_reason(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "manifest.csv": manifest("enrollments") + "file.orgs,absent\r\n",
        "enrollments.csv": HEADER,
        "orgs.csv": ORGS,
    }
    async with opened(package(tmp_path, files)) as source:
        reasons = {one.name: (await source.pull(one, START)).absent for one in source.resources}
        findings = {finding.text: finding for finding in await source.check()}
    assert reasons["enrollments"] == ""
    assert reasons["orgs"] == "orgs.csv is marked absent in manifest.csv, although orgs.csv is there"
    assert reasons["roles"] == "roles.csv begins with OneRoster 1.2"
    assert reasons["results"] == "results.csv is not listed in manifest.csv"
    assert not findings["orgs: orgs.csv is marked absent in manifest.csv, although orgs.csv is there."].ok
    assert findings["OneRoster 1.1 CSV package, from Made here."].ok


async def test_check_names_unknown_columns_and_the_first_unreadable_row(tmp_path: Path) -> None:
    users = "sourcedId,status,dateLastModified,givenName,familyName,shoeSize\nu-1,,,A\n"
    async with opened(package(tmp_path, {"users.csv": users, "orgs.csv": f"{ORGS},metadata.city\n"})) as source:
        findings = {finding.text: finding.ok for finding in await source.check()}
    known = "listed as bulk, header understood, columns unknown to OneRoster"
    assert findings[f"users.csv: {known} (dropped): shoeSize, row 2 cannot be read."] is False
    assert findings[f"orgs.csv: {known} (kept as metadata): city."] is True


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"manifest.csv": manifest("orgs", version="1.0"), "orgs.csv": ORGS}, "csv-version"),
        ({"manifest.csv": manifest("orgs", mode="full"), "orgs.csv": ORGS}, "csv-manifest-value"),
        ({"manifest.csv": manifest("orgs", "users"), "orgs.csv": ORGS}, "csv-file-missing"),
        ({"orgs.csv": ORGS.replace("name", "title")}, "csv-missing-column"),
        ({"orgs.csv": ORGS.replace(",", "~")}, "csv-missing-column"),
        ({"orgs.csv": ""}, "csv-missing-column"),
        ({"orgs.csv": ORGS.encode("utf-16-le")}, "csv-header"),
        ({"orgs.csv": ORGS.encode("utf-16")}, "csv-header"),
        ({"orgs.csv": b"x" * 2_000_000}, "csv-line-too-long"),
    ],
)
async def test_a_package_that_cannot_be_right_is_refused_before_anything_is_read(
    tmp_path: Path, files: dict[str, str | bytes], code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_files(package(tmp_path, files))
    assert caught.value.code == code
    assert caught.value.fix


async def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not a zip")
    (tmp_path / "empty").mkdir()
    whole = package(tmp_path, {"orgs.csv": f"{ORGS}\nsch-1,,,Cedar,school,,\n" * 50}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    for name in ("text.zip", "cut.zip", "nothing.zip"):
        with pytest.raises(ConfigError) as caught:
            await open_files(tmp_path / name)
        assert caught.value.code == "csv-cannot-be-read"
    with pytest.raises(ConfigError) as caught:
        await open_files(tmp_path / "empty")
    assert caught.value.code == "csv-no-manifest"


async def test_damaged_and_encrypted_entries_are_named(tmp_path: Path) -> None:
    lines = "\n".join([HEADER, *(enrollment(n) for n in range(9000))])
    path = package(tmp_path, {"enrollments.csv": lines})
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    with pytest.raises(ConfigError) as caught:
        async with opened(path) as source:
            await every_page(source, "enrollments")
    assert caught.value.code == "csv-cannot-be-read"
    central = whole.rindex(b"PK\x01\x02")
    path.write_bytes(whole[: central + 8] + b"\x01" + whole[central + 9 :])
    with pytest.raises(ConfigError) as caught:
        await open_files(path)
    assert caught.value.code == "csv-encrypted"


async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large = [await peak(tmp_path, rows) for rows in (30_000, 300_000)]
    assert large - small < 2 * 1024**2
    assert large < 20 * 1024**2


async def peak(folder: Path, rows: int) -> int:
    """Bytes that reading so many enrollments takes at its height."""
    path = folder / f"{rows}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        made.writestr("manifest.csv", manifest("enrollments"))
        with made.open("enrollments.csv", "w") as entry:
            entry.write(f"{HEADER}\r\n".encode())
            for n in range(rows):
                entry.write(f"{enrollment(n)}\r\n".encode())
    async with opened(path) as source:
        tracemalloc.start()
        try:
            cursor: tuple[str, ...] = (START,)
            read = 0
            while cursor:
                page = await source.pull(RESOURCES["enrollments"], cursor[0])
                read, cursor = read + len(page.rows), page.next
            assert read == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


# --- what the standard does not allow, read and told


def told(pages: list[Page]) -> dict[str, tuple[str, str, int]]:
    """Code -> field, example, how often in all."""
    found: dict[str, tuple[str, str, int]] = {}
    for page in pages:
        for one in page.notices:
            field, example, count = found.get(one.code, (one.field, one.example, 0))
            found[one.code] = field, example, count + one.count
    return found


async def read(folder: Path, files: Mapping[str, str | bytes], name: str = "orgs") -> tuple[Any, ...]:
    """The rows, what was told of them, and what could not be read."""
    async with opened(package(folder, files)) as source:
        pages = await every_page(source, name)
    return [msgspec.json.decode(row) for page in pages for row in page.rows], told(pages), unreadable(pages)


CEDAR = {"sourcedId": "0017", "name": "Cedar", "type": "school"}
ROW = "0017,,,Cedar,school,,"
QUIRKS: dict[str, tuple[bytes, dict[str, tuple[str, str, int]]]] = {
    "strict": (f"{ORGS}\r\n{ROW}\r\n".encode(), {}),
    "byte order mark": (
        f"\ufeff{ORGS}\n{ROW}".encode(),
        {"csv-byte-order-mark": ("orgs.csv", "row 1", 1)},
    ),
    "lines of an old Mac": (
        f"{ORGS}\r{ROW}\r".encode(),
        {"csv-line-ends": ("orgs.csv", "row 1", 1)},
    ),
    "semicolons": (
        f"{ORGS}\r\n{ROW}\r\n".replace(",", ";").encode(),
        {"csv-separator": ("orgs.csv: semicolons", "row 1", 1)},
    ),
    "tabs": (
        f"{ORGS}\r\n{ROW}\r\n".replace(",", "\t").encode(),
        {"csv-separator": ("orgs.csv: tabs", "row 1", 1)},
    ),
    "sep line of Excel": (
        f"sep=,\r\n{ORGS}\r\n{ROW}\r\n".encode(),
        {"csv-separator-line": ("orgs.csv", "row 1", 1)},
    ),
    "sep line and semicolons": (
        ("sep=;\r\n" + f"{ORGS}\r\n{ROW}\r\n".replace(",", ";")).encode(),
        {
            "csv-separator-line": ("orgs.csv", "row 1", 1),
            "csv-separator": ("orgs.csv: semicolons", "row 1", 1),
        },
    ),
    "capitals and blanks": (
        f"{ORGS.replace('sourcedId,', 'SOURCEDID, ').replace('name', 'Name')}\n{ROW}".encode(),
        {"csv-header-spelling": ("orgs.csv: sourcedId", "row 1", 3)},
    ),
    "typo": (
        f"{ORGS.replace('sourcedId,', 'sourceddId,').replace('identifier', 'identifer')}\n{ROW}".encode(),
        {"csv-header-typo": ("orgs.csv: sourceddId read as sourcedId", "row 1", 2)},
    ),
    "column of one's own in the middle": (
        f"{ORGS.replace('name', 'metadata.mascot,name')}\n0017,,,,Cedar,school,,".encode(),
        {"csv-column-order": ("orgs.csv: metadata.mascot", "row 1", 1)},
    ),
    "unknown column": (
        f"{ORGS},mascot\n{ROW},".encode(),
        {"csv-unknown-column": ("orgs.csv: mascot", "row 1", 1)},
    ),
    "blank columns at the end": (
        f"{ORGS},,\n{ROW},,".encode(),
        {"csv-blank-column": ("orgs.csv", "row 1", 2)},
    ),
    "blank columns in the header alone": (
        f"{ORGS},,\n{ROW}\n".encode(),
        {"csv-blank-column": ("orgs.csv", "row 1", 2)},
    ),
    "a column twice": (
        f"{ORGS},Name\n{ROW},Cedar".encode(),
        {
            "csv-duplicate-column": ("orgs.csv: name", "row 1", 2),
            "csv-header-spelling": ("orgs.csv: name", "row 1", 1),
        },
    ),
    "a column twice, once empty": (
        f"{ORGS},name\n{ROW},".encode(),
        {"csv-duplicate-column": ("orgs.csv: name", "row 1", 2)},
    ),
    "status in a bulk file": (
        f"{ORGS}\n{ROW.replace('0017,', '0017,active')}".encode(),
        {"csv-bulk-with-status": ("orgs.csv", "row 2", 1)},
    ),
    "quotes everywhere": (
        "\r\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in (ORGS, ROW)).encode(),
        {},
    ),
}


@pytest.mark.parametrize("quirk", QUIRKS)
async def test_a_quirk_is_read_and_told_and_changes_nothing(tmp_path: Path, quirk: str) -> None:
    content, expected = QUIRKS[quirk]
    rows, notices, broken = await read(tmp_path, {"orgs.csv": content})
    assert ([{k: v for k, v in row.items() if k != "status"} for row in rows], broken) == ([CEDAR], [])
    assert notices == expected


async def test_a_quirk_is_told_once_however_many_pages(tmp_path: Path) -> None:
    lines = [HEADER.replace("role", "Role"), *(enrollment(n) for n in range(4500))]
    lines[3000] = lines[3000].replace("stu-2999", '"stu-\n2999"')
    rows, notices, broken = await read(tmp_path, {"enrollments.csv": "\n".join(lines)}, "enrollments")
    assert (len(rows), broken) == (4500, [])
    assert notices == {
        "csv-header-spelling": ("enrollments.csv: role", "row 1", 1),
        "csv-line-break": ("enrollments.csv", "row 3001", 1),
    }


async def test_a_title_that_could_be_two_columns_is_not_guessed(tmp_path: Path) -> None:
    header = "sourcedId,status,dateLastModified,title,classSourcedId,resultValueMa,resultValueMix"
    rows, notices, _ = await read(tmp_path, {"lineItems.csv": f"{header}\nli-1,,,Quiz,c-1,10,20"}, "lineItems")
    assert rows == [
        {"sourcedId": "li-1", "title": "Quiz", "class": {"sourcedId": "c-1"}, "resultValueMax": "10",
         "metadata": {"resultValueMix": "20"}},
    ]  # fmt: skip
    assert notices["csv-header-typo"][0] == "lineItems.csv: resultValueMa read as resultValueMax"
    assert notices["csv-unknown-column"][0] == "lineItems.csv: resultValueMix"


@pytest.mark.parametrize("title", ["nayme", "Nam", "nmae"])
async def test_a_short_title_is_suggested_and_not_guessed(tmp_path: Path, title: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_files(package(tmp_path, {"orgs.csv": ORGS.replace("name", title)}))
    assert caught.value.message == f"orgs.csv has no column name; did the sender mean that by {title}?"


@pytest.mark.parametrize("title", ["email2", "userId", "schoolSourcedId"])
async def test_what_only_resembles_a_column_is_none(tmp_path: Path, title: str) -> None:
    header = f"sourcedId,status,dateLastModified,givenName,familyName,{title}"
    _, notices, _ = await read(tmp_path, {"users.csv": f"{header}\nu-1,,,A,B,1"}, "users")
    assert notices.keys() == {"csv-unknown-column"}


async def test_columns_of_one_name_that_differ_set_the_row_aside(tmp_path: Path) -> None:
    content = f"{ORGS},name\n{ROW},Cedar\n0018,,,Elm,school,,,Oak\n{ROW.replace('0017', '0019')},"
    rows, _, broken = await read(tmp_path, {"orgs.csv": content})
    assert ([row["sourcedId"] for row in rows], broken) == (["0017", "0019"], [("row 3", "csv-columns-differ")])


async def test_a_value_under_no_title_sets_the_row_aside(tmp_path: Path) -> None:
    content = f"{ORGS},\n{ROW},\n0018,,,Elm, East,school,,d-1"
    rows, _, broken = await read(tmp_path, {"orgs.csv": content})
    assert ([row["sourcedId"] for row in rows], broken) == (["0017"], [("row 3", "csv-value-without-column")])


async def test_columns_of_1_0_are_known(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "courses.csv": "sourcedId,status,dateLastModified,schoolYearId,metadata.duration,title,courseCode,grade,"
        "orgSourcedId,subjects\ncrs-1,,,sy-1,2,Algebra,A1,09,d-1,Maths",
        "demographics.csv": "userSourcedId,status,dateLastModified,birthdate,sex\nu-1,,,2015-02-01,male",
        "users.csv": "sourcedId,status,dateLastModified,orgSourcedIds,role,username,userId,givenName,familyName,agents"
        "\nu-1,,,s-1,student,u1,4711,Ada,Lund,p-1",
    }
    [course], notices, _ = await read(tmp_path, files, "courses")
    assert (course["schoolYear"], course["grades"]) == ({"sourcedId": "sy-1"}, ["09"])
    assert notices["csv-older-column"] == ("courses.csv: schoolYearId read as schoolYearSourcedId", "row 1", 2)
    [person], notices, _ = await read(tmp_path, files, "demographics")
    assert (person["sourcedId"], person["birthDate"]) == ("u-1", "2015-02-01")
    [user], notices, _ = await read(tmp_path, files, "users")
    assert (user["agents"], user["metadata"]) == ([{"sourcedId": "p-1"}], {"userId": "4711"})


async def test_what_is_odd_in_the_package_is_told_with_its_first_file(tmp_path: Path) -> None:
    loose = (
        manifest("users")
        .replace("manifest.version,1.0", "manifest.version,1")
        .replace("file.users,bulk", "file.users,")
    )
    profiles = "sourcedId,status,dateLastModified,userSourcedId,profileType,vendorId,credentialType,username,password"
    path = package(
        tmp_path,
        {
            "manifest.csv": loose,
            "Orgs.CSV": f"{ORGS}\n{ROW}",
            "users.csv": "sourcedId,status,dateLastModified,givenName,familyName\nu-1,,,A,B",
            "userProfiles.csv": f"{profiles}\np-1,,,u-1,LDAP,v,basic,ada,hunter2",
            "staff.csv": "a,b",
            "read me.txt": "hello",
        },
        prefix="export/",
    )
    async with opened(path) as source:
        orgs, users = [told(await every_page(source, name)) for name in ("orgs", "users")]
        findings = [finding.text for finding in await source.check()]
    assert orgs == {
        "csv-file-name": ("orgs.csv", "orgs.csv", 1),
        "csv-file-not-listed": ("orgs.csv", "manifest.csv", 1),
        "csv-manifest-version": ("manifest.csv: manifest.version", "manifest.csv", 1),
        "csv-folder-in-package": ("manifest.csv", "manifest.csv", 1),
        "csv-file-dropped": ("userProfiles.csv", "userProfiles.csv", 1),
        "csv-unknown-file": ("staff.csv", "staff.csv", 1),
    }
    assert users == {"csv-file-not-listed": ("users.csv", "manifest.csv", 1)}
    assert "userProfiles.csv is not read: it holds credentials, which are never kept." in findings
    assert "Not read, because OneRoster does not know them: staff.csv." in findings
    assert not any("hunter2" in text for text in findings)


async def test_check_says_which_titles_were_understood_otherwise(tmp_path: Path) -> None:
    content = f"{ORGS.replace('identifier', 'identifer')}\n{ROW}"
    async with opened(package(tmp_path, {"orgs.csv": content})) as source:
        findings = [finding.text for finding in await source.check()]
    assert "orgs.csv: listed as bulk, header understood, identifer read as identifier." in findings


# --- every file


async def test_the_header_only_files_of_both_versions_are_understood(contracts: Path) -> None:
    for version, count in (("v1p1", 13), ("v1p2", 20)):
        folder = contracts / "oneroster" / "templates" / version
        files = {file.stem: file.read_text(encoding="utf-8-sig").strip().split(",") for file in folder.glob("*.csv")}
        del files["manifest"]
        read = {name: header(name, titles) for name, titles in files.items() if name not in NEVER_READ}
        assert len(read) == count
        assert [name for name, found in read.items() if found.extra or found.notices] == []


ONE_OF_EACH = {
    "orgs": f"{ORGS}\no-1,,,Cedar,school,17,",
    "academicSessions": "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear"
    "\nt-1,,,Fall,term,2026-08-17,2026-12-18,,2027",
    "resources": "sourcedId,status,dateLastModified,vendorResourceId,title,roles,importance,vendorId,applicationId"
    '\nres-1,,,v-1,Atlas,"student,teacher",primary,v,a',
    "courses": "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,"
    "subjectCodes\ncrs-1,,,t-1,Maths,M1,09,o-1,,",
    "courseResources": "sourcedId,status,dateLastModified,title,courseSourcedId,resourceSourcedId"
    "\ncr-1,,,x,crs-1,res-1",
    "classes": "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,"
    "schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods\ncls-1,,,Maths 1,09,crs-1,,scheduled,,o-1,t-1,,,",
    "classResources": "sourcedId,status,dateLastModified,title,classSourcedId,resourceSourcedId\nclr-1,,,x,cls-1,res-1",
    "users": "sourcedId,status,dateLastModified,enabledUser,username,givenName,familyName\nu-1,,,true,u1,Ada,Lund",
    "roles": "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,"
    "userProfileSourcedId\nrol-1,,,u-1,primary,student,,,o-1,",
    "userResources": "sourcedId,status,dateLastModified,userSourcedId,orgSourcedId,classSourcedId,resourceSourcedId"
    "\nur-1,,,u-1,o-1,cls-1,res-1",
    "demographics": "sourcedId,status,dateLastModified,birthDate,sex\nu-1,,,2011-04-05,female",
    "enrollments": f"{HEADER}\nenr-1,,,cls-1,o-1,u-1,student,,,",
    "categories": "sourcedId,status,dateLastModified,title,weight\ncat-1,,,Quizzes,50",
    "scoreScales": "sourcedId,status,dateLastModified,title,type,orgSourcedId,courseSourcedId,classSourcedId,"
    'scoreScaleValue\nsc-1,,,Letters,letter,o-1,crs-1,cls-1,"{A:90},{B:80}"',
    "lineItems": "sourcedId,status,dateLastModified,title,assignDate,dueDate,classSourcedId,categorySourcedId"
    "\nli-1,,,Quiz,2026-09-01,2026-09-02,cls-1,cat-1",
    "lineItemScoreScales": "sourcedId,status,dateLastModified,title,lineItemSourcedId,scoreScaleSourcedId"
    "\nls-1,,,x,li-1,sc-1",
    "lineItemLearningObjectiveIds": "sourcedId,status,dateLastModified,lineItemSourcedId,source,learningObjectiveId"
    "\nlo-1,,,li-1,case,obj-1",
    "results": "sourcedId,status,dateLastModified,lineItemSourcedId,studentSourcedId,scoreStatus,score,scoreDate"
    "\nr-1,,,li-1,u-1,fully graded,9,2026-09-02",
    "resultScoreScales": "sourcedId,status,dateLastModified,title,resultSourcedId,scoreScaleSourcedId"
    "\nrs-1,,,x,r-1,sc-1",
    "resultLearningObjectiveIds": "sourcedId,status,dateLastModified,resultSourcedId,source,learningObjectiveId,score,"
    "textScore\nro-1,,,r-1,case,obj-1,3,good",
}


async def test_every_file_becomes_claims(tmp_path: Path) -> None:
    codes = MAPPING.codes()
    made: dict[str, str | bytes] = {"manifest.csv": manifest(*ONE_OF_EACH, version="1.2")}
    made |= {f"{name}.csv": content for name, content in ONE_OF_EACH.items()}
    async with opened(package(tmp_path, made)) as source:
        assert [resource.name for resource in source.resources] == list(ONE_OF_EACH)
        for resource in source.resources:
            [page] = await every_page(source, resource.name)
            assert (page.notices, page.unreadable) == ((), [])
            [row] = page.rows
            assert list(MAPPING.inbound[resource.wire](msgspec.json.decode(row, type=resource.wire), codes))
            if resource.name == "scoreScales":
                assert msgspec.json.decode(row)["scoreScaleValue"] == [
                    {"itemValueLHS": "A", "itemValueRHS": "90"},
                    {"itemValueLHS": "B", "itemValueRHS": "80"},
                ]


async def test_rows_of_separators_are_no_rows(tmp_path: Path) -> None:
    """A row that could not be named would keep everybody in the roster who has left."""
    empty = ',,,,,,\n"","","","","","",""\n'
    async with opened(package(tmp_path, {"orgs.csv": f"{ORGS}\n{ROW}\n{empty}sch-9,,,Elm,school,,\n,,,,,,"})) as source:
        pages = await every_page(source, "orgs")
    assert [id for _, id in numbered(pages)] == [ROW.partition(",")[0], "sch-9"]
    assert told(pages) == {"csv-empty-row": ("orgs.csv", "row 3", 3)}


async def test_blanks_around_a_key_are_no_part_of_it(tmp_path: Path) -> None:
    made = package(tmp_path, {"orgs.csv": f"{ORGS}\n sch-1 ,,,Cedar,school,,\nsch-2,,,Elm,school,,sch-1 "})
    first, second = await rows_of(made, "orgs")
    assert (first["sourcedId"], second["parent"]) == ("sch-1", {"sourcedId": "sch-1"})


async def test_keys_in_a_list_may_have_another_sign_between_them(tmp_path: Path) -> None:
    columns = "sourcedId,title,courseSourcedId,schoolSourcedId,termSourcedIds,grades,subjects"
    rows = 'c-1,Art,k-1,s-1,t-1; t-2,09|10,Art; ceramics\nc-2,Art,k-1,s-1,"t-1,t-2",09,Art'
    async with opened(package(tmp_path, {"classes.csv": f"{columns}\n{rows}"})) as source:
        pages = await every_page(source, "classes")
    one, other = [msgspec.json.decode(row) for row in pages[0].rows]
    assert one["terms"] == other["terms"] == [{"sourcedId": "t-1"}, {"sourcedId": "t-2"}]
    assert one["grades"] == ["09", "10"] and one["subjects"] == ["Art; ceramics"]
    found = {(notice.field, notice.example) for notice in pages[0].notices if notice.code == "csv-list-separator"}
    assert found == {("classes.csv: terms", "row 2"), ("classes.csv: grades", "row 2")}


async def test_a_column_of_ones_own_contradicts_nothing(tmp_path: Path) -> None:
    columns = "sourcedId,enabledUser,orgSourcedIds,role,username,givenName,familyName,email,Email,metadata.role"
    made = package(tmp_path, {"users.csv": f"{columns}\nu-1,true,s-1,student,u,Ada,Lund,a@x.example,,captain"})
    async with opened(made) as source:
        pages = await every_page(source, "users")
    assert unreadable(pages) == []
    assert [msgspec.json.decode(row)["role"] for row in pages[0].rows] == ["student"]


# --- deltas


@pytest.mark.parametrize("version", ["v1p1", "v1p2"])
async def test_a_delta_says_what_changed_and_that_it_is_not_all(real: Path, version: str) -> None:
    async with opened(real / "synthetic-district" / f"maple_{version}_delta.zip") as source:
        [page] = await every_page(source, "users")
        assert page.partial
        changed, ended = [msgspec.json.decode(row, type=RESOURCES["users"].wire) for row in page.rows][:2]
        assert [RESOURCES["users"].inactive(one) for one in (changed, ended)] == [False, True]  # type: ignore[misc]
        assert (await source.pull(RESOURCES["orgs"], START)).absent
        [said] = [finding.text for finding in await source.check() if finding.text.startswith("users.csv")]
        assert said.startswith("users.csv: listed as delta, header understood (only what changed: without a bulk")


async def test_one_package_may_hold_bulk_and_delta_files(tmp_path: Path) -> None:
    both = manifest("orgs") + "file.enrollments,delta\r\n"
    delta = f"{HEADER}\nenr-1,active,2026-10-05T13:45:00.000Z,c,s,u,student,,,\nenr-2,,,c,s,u,student,,,"
    made: dict[str, str | bytes] = {"manifest.csv": both, "orgs.csv": f"{ORGS}\n{ROW}", "enrollments.csv": delta,
                                    "users.csv": "sourcedId,givenName,familyName\nu,A,B"}  # fmt: skip
    async with opened(package(tmp_path, made)) as source:
        [orgs] = await every_page(source, "orgs")
        [enrollments] = await every_page(source, "enrollments")
        assert (orgs.partial, enrollments.partial) == (False, True)
        assert told([enrollments]) == {"csv-delta-without-status": ("enrollments.csv", "row 3", 1)}
        # Whether a file that is not listed is whole cannot be known beside a delta.
        assert (await source.pull(RESOURCES["users"], START)).absent.startswith("users.csv is not listed")


# --- who is a student in 1.2


USERS = "sourcedId,status,dateLastModified,givenName,familyName,agentSourcedIds,grades"
ROLES = "sourcedId,status,dateLastModified,userSourcedId,roleType,role,orgSourcedId"
PEOPLE = [
    "stu-1,{s},,Ada,Lund,par-1,09",
    "par-1,{s},,Bo,Lund,stu-1,",
    "stu-2,{s},,Cy,Roe,,10",
    "stu-3,{s},,Di,Moe,par-3,",
    "stu-4,{s},,Ed,Poe,par-3,11",
]
THEIR_ROLES = [
    "r-1,{s},,stu-1,primary,Student,o-1",
    "r-2,{s},,par-1,primary,parent,o-1",
    "r-3,{s},,stu-2,primary,student,o-1",
]


def people(mode: str) -> dict[str, str | bytes]:
    status = "active" if mode == "delta" else ""
    return {
        "manifest.csv": manifest("users", "roles", version="1.2", mode=mode),
        "users.csv": "\n".join([USERS, *(line.format(s=status) for line in PEOPLE)]),
        "roles.csv": "\n".join([ROLES, *(line.format(s=status) for line in THEIR_ROLES)]),
    }


async def test_roles_csv_says_whose_agents_are_family(tmp_path: Path) -> None:
    rows, notices, _ = await read(tmp_path, people("bulk"), "users")
    assert [row.get("role") for row in rows] == ["student", None, None, None, None]
    assert notices == {}


async def test_in_a_delta_a_student_whose_role_did_not_change_is_known_by_grades(tmp_path: Path) -> None:
    rows, notices, _ = await read(tmp_path, people("delta"), "users")
    assert [row.get("role") for row in rows] == ["student", None, None, None, "student"]
    assert notices == {
        "csv-agents-left-out": ("users.csv", "row 5", 1),
        "csv-student-by-grades": ("users.csv", "row 6", 1),
    }


def test_who_is_a_student_takes_little_memory() -> None:
    rows = (
        msgspec.Raw(b'{"sourcedId":"r","user":{"sourcedId":"stu-%d"},"role":"student"}' % n) for n in range(200_000)
    )
    tracemalloc.start()
    try:
        students = Students(rows, whole=True)
        assert tracemalloc.get_traced_memory()[0] < 200_000 * 12
    finally:
        tracemalloc.stop()
    for id, expected in (("stu-0", "student"), ("stu-199999", "student"), ("stu-200000", None)):
        record: dict[str, Any] = {"sourcedId": id, "agents": []}
        students.complete(record, "row 2")
        assert record.get("role") == expected


# --- a package that changes underneath


async def test_a_page_of_another_package_is_not_read_on(tmp_path: Path) -> None:
    lines = [HEADER, *(enrollment(n) for n in range(2500))]
    path = package(tmp_path, {"enrollments.csv": "\n".join(lines)})
    async with opened(path) as source:
        [cursor] = (await source.pull(RESOURCES["enrollments"], START)).next
    async with opened(path) as source:
        assert len((await source.pull(RESOURCES["enrollments"], cursor)).rows) == 500
    package(tmp_path, {"enrollments.csv": "\n".join([HEADER, *lines[100:]])})
    async with opened(path) as source:
        with pytest.raises(ConfigError) as caught:
            await source.pull(RESOURCES["enrollments"], cursor)
    assert caught.value.code == "csv-package-changed"


async def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    """It may lead to a file that was not delivered."""
    folder = tmp_path / "in"
    folder.mkdir()
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\n")
    (folder / "manifest.csv").write_text(manifest("orgs"))
    (folder / "orgs.csv").symlink_to(elsewhere)
    with pytest.raises(ConfigError) as refused:
        await open_files(folder)
    assert refused.value.code == "csv-unsafe-folder"


async def test_two_names_that_differ_in_capitals_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(manifest("orgs"))
    for name in ("orgs.csv", "Orgs.csv"):
        (tmp_path / name).write_text("sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\n")
    with pytest.raises(ConfigError) as refused:
        await open_files(tmp_path)
    assert refused.value.code == "csv-unsafe-folder"
