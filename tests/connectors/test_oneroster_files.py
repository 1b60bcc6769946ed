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
from connectors.oneroster.files import FileSource, open_files
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
    assert absent == REAL[name]
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


@pytest.mark.parametrize("name", ["synthetic-district/maple_v1p1_delta.zip", "synthetic-district/maple_v1p2_delta.zip"])
async def test_a_delta_package_is_refused(real: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_files(real / name)
    assert caught.value.code == "csv-delta-not-supported"


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
        "manifest.csv": manifest("enrollments"),
        "enrollments.csv": HEADER,
        "orgs.csv": ORGS,
    }
    async with opened(package(tmp_path, files)) as source:
        reasons = {one.name: (await source.pull(one, START)).absent for one in source.resources}
        findings = {finding.text: finding for finding in await source.check()}
    assert reasons["enrollments"] == ""
    assert reasons["orgs"] == "orgs.csv is not listed in manifest.csv, although orgs.csv is there"
    assert reasons["roles"] == "roles.csv begins with OneRoster 1.2"
    assert reasons["results"] == "results.csv is not listed in manifest.csv"
    assert not findings["orgs: orgs.csv is not listed in manifest.csv, although orgs.csv is there."].ok
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
        ({"manifest.csv": manifest("orgs", mode="Delta"), "orgs.csv": ORGS}, "csv-delta-not-supported"),
        ({"manifest.csv": manifest("orgs", "users"), "orgs.csv": ORGS}, "csv-file-missing"),
        ({"orgs.csv": ORGS.replace("name", "title")}, "csv-missing-column"),
        ({"orgs.csv": ORGS.replace(",", ";")}, "csv-missing-column"),
        ({"orgs.csv": ""}, "csv-missing-column"),
        ({"orgs.csv": f"{ORGS},Name"}, "csv-duplicate-column"),
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
