"""Vendors' result files: real ones counted by another reader, and made ones with what exports do to a file."""

import csv
import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.assessment_files import CONNECTOR, layouts
from connectors.assessment_files.files import PAGE_ROWS, ResultFiles, open_files
from connectors.assessment_files.models import Result
from gateway.connector import START, Notice, Page, validated
from gateway.errors import ConfigError

RESOURCES = {resource.name: resource for resource in CONNECTOR.resources}
SAMPLES = Path(__file__).parents[2] / "connectors" / "assessment_files" / "samples"
LAYOUT = """column,meaning,name,datatype,objective,flags
Pupil,district id,,,,required
Vendor,vendor id,,,,
Test,assessment,,,,required
When,date,,,,key
Points,score,points,integer,,
"""
HEADER = "Pupil,Test,When,Points"
VENDORS = ("MAP_Growth", "i-Ready", "STAR", "Dibels_8_Benchmark", "FastBridge_CBMreading")
PERSONAL = {
    *("first", "last", "middle", "dob", "birth", "gender", "sex", "race", "hispanic", "asian", "white", "meal"),
    *("disadvantaged", "email", "teacher", "migrant", "disability", "home", "ell", "enrollment", "address"),
}


@asynccontextmanager
async def opened(path: Path, **settings: str) -> AsyncIterator[ResultFiles]:
    source = await open_files(validated(CONNECTOR.settings, {"path": str(path), **settings}))  # type: ignore[arg-type]
    try:
        assert isinstance(source, ResultFiles)
        yield source
    finally:
        await source.close()


async def pages_of(source: ResultFiles, name: str) -> list[Page]:
    pages = [await source.pull(RESOURCES[name], START)]
    while pages[-1].next:
        [cursor] = pages[-1].next
        pages.append(await source.pull(RESOURCES[name], cursor))
    assert all(page.partial for page in pages), "a file is never the whole truth"
    return pages


async def everything(path: Path, **settings: str) -> tuple[dict[str, list[Any]], list[tuple[str, str]], list[Notice]]:
    """The records of each collection, (position, code) of what cannot be read, and what was noticed."""
    records: dict[str, list[Any]] = {}
    unreadable: list[tuple[str, str]] = []
    notices: list[Notice] = []
    async with opened(path, **settings) as source:
        for name in RESOURCES:
            for page in await pages_of(source, name):
                records.setdefault(name, []).extend(msgspec.json.decode(row) for row in page.rows)
                unreadable += [(bad.position, bad.code) for bad in page.unreadable]
                notices += page.notices
    return records, unreadable, notices


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """A layout of the district's own."""
    path = tmp_path / "ours.csv"
    path.write_text(LAYOUT)
    return {"layout_file": str(path)}


def write(folder: Path, *rows: str, name: str = "scores.csv", header: str = HEADER) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


# --- real files


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_vendors_columns_are_all_understood_and_nothing_personal_comes_through(
    contracts: Path, tmp_path: Path, vendor: str
) -> None:
    for path in sorted((contracts / "edfi" / "vendor-assessment-csv" / vendor).glob("*.csv")):
        header, *rows = csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
        personal = [place for place, title in enumerate(header) if is_personal(title)]
        assert personal or path.name.startswith(("SR_D", "SR_Sk", "sample_anonymized_file.csv")), path.name
        for row in rows:
            for place in personal:
                row[place] = "planted"
        with (tmp_path / path.name).open("w", newline="") as made:
            csv.writer(made).writerows([header, *rows])
        records, _, notices = await everything(tmp_path / path.name)
        assert records["results"] and notices == [], path.name
        assert "planted" not in json.dumps(records), path.name


def is_personal(title: str) -> bool:
    words = re.split(r"[ /_.()-]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).casefold())
    return bool(PERSONAL.intersection(words)) and "benchmark" not in words


async def test_a_score_is_called_by_what_another_column_says(tmp_path: Path) -> None:
    """Which study a projected proficiency is by stands in the row: its number says nothing."""
    header = "TermName,StudentID,Subject,TestStartDate,TestRITScore"
    header += "".join(f",ProjectedProficiencyStudy{n},ProjectedProficiencyLevel{n}" for n in (1, 2))
    row = "Fall 2026-2027,007,Reading,09/16/2026,208,State Test,Proficient,College Entry,Not On Track"
    records, unreadable, notices = await everything(write(tmp_path, row, header=header))
    assert (unreadable, notices) == ([], [])
    [result] = records["results"]
    assert {level["method"]: level["level"] for level in result["levels"]} == {
        "projected proficiency State Test": "Proficient",
        "projected proficiency College Entry": "Not On Track",
    }


async def test_every_score_of_a_row_is_kept_as_text(contracts: Path) -> None:
    folder = contracts / "edfi" / "vendor-assessment-csv" / "MAP_Growth"
    records, unreadable, _ = await everything(folder / "sample_anonymized_file.csv")
    assert unreadable == [("sample_anonymized_file.csv row 8", "csv-wrong-field-count")]
    first = records["results"][0]
    said = {score["method"]: score["value"] for score in first["scores"]}
    assert (said["RIT"], said["standard error"], said["percentile"]) == ("208", "3.40", "57")
    assert [part["name"] for part in first["parts"]] == [
        "Matter, Force, Motion and Energy", "Earth and Space", "Organisms and Environments",
    ]  # fmt: skip


def test_every_layout_can_be_read_and_names_what_it_measures() -> None:
    assert set(layouts.builtin()) == {
        "dibels-8", "fastbridge", "iready-math", "iready-reading", "map-growth", "star-reading",
        "star-reading-skill-areas", "star-reading-standards",
    }  # fmt: skip
    for layout in layouts.builtin().values():
        assert layout.required and layout.constant("purpose") in ("screening", "diagnostic", "interim")


# --- a layout of one's own


async def test_the_sample_of_the_readme_yields_one_result_for_each_term() -> None:
    records, unreadable, notices = await everything(SAMPLES / "owl.csv", layout_file=str(SAMPLES / "owl-layout.csv"))
    assert [(one["key"], one["date"]) for one in records["results"]] == [
        ("Owl Reading|district|004711|2026-27|Fall", "2026-09-15"),
        ("Owl Reading|district|004712|2026-27|Fall", "2026-09-16"),
        ("Owl Reading|district|004712|2026-27|Winter", "2027-01-20"),
    ]
    assert records["students"][0] == {"key": "district|004711", "district": "004711", "state": "S-77"}
    assert records["results"][0]["parts"][0]["scores"] == [{"method": "points", "value": "12", "datatype": "integer"}]
    assert "parts" not in records["results"][1], "n/a is nothing"
    assert {one["key"] for one in records["assessments"]} == {"Owl Reading", "Owl Reading|Vowels"}
    assert notices == [Notice("file-unknown-column", "Pupil Name")]
    assert unreadable == [] and "planted" not in json.dumps(records).casefold()


@pytest.mark.parametrize(("datatype", "day"), [("", "2026-03-04"), ("day first", "2026-04-03")])
async def test_a_layout_says_whether_the_day_comes_first(tmp_path: Path, datatype: str, day: str) -> None:
    layout = tmp_path / "ours.csv"
    layout.write_text(LAYOUT.replace("When,date,,,", f"When,date,,{datatype},"))
    records, _, _ = await everything(write(tmp_path, "1,Fractions,3/4/2026,3"), layout_file=str(layout))
    assert records["results"][0]["date"] == day


async def test_a_datatype_that_is_none_is_refused(tmp_path: Path) -> None:
    layout = tmp_path / "ours.csv"
    layout.write_text(LAYOUT.replace("When,date,,,", "When,date,,dayfirst,"))
    with pytest.raises(ConfigError) as refused:
        await everything(write(tmp_path, "1,Fractions,3/4/2026,3"), layout_file=str(layout))
    assert refused.value.code == "layout-invalid"


async def test_a_row_without_a_student_is_set_aside(tmp_path: Path, own: dict[str, str]) -> None:
    records, _, _ = await everything(write(tmp_path, ",Fractions,2026-10-01,3"), **own)
    with pytest.raises(Exception, match="no id of a student"):
        RESOURCES["results"].key(msgspec.convert(records["results"][0], Result))


async def test_a_student_with_two_numbers_has_none(tmp_path: Path, own: dict[str, str]) -> None:
    """One of the two is another student's: nobody gets a result by guess."""
    rows = ("1,v,Fractions,2026-10-01,3", "2,v,Fractions,2026-10-02,3", "3,w,Fractions,2026-10-02,3")
    path = write(tmp_path, *rows, header="Pupil,Vendor,Test,When,Points")
    records, _, notices = await everything(path, **own)
    assert records["students"] == [
        {"key": "district|1"},
        {"key": "district|2"},
        {"key": "district|3", "district": "3"},
    ]
    assert notices == [Notice("two-numbers-of-one-student", "district", count=2)]


@pytest.mark.parametrize(
    ("layout", "why"),
    [
        ("colum,meaning\n", "its columns must be"),
        ("column,meaning\nPupil,pupil\n", "'pupil' is no meaning"),
        ("column,meaning,flags\nPupil,district id,vital\n", "flags may be"),
        ("column,meaning\nPupil,district id\n", "no line says what was measured"),
        ("column,meaning,flags\nTest,assessment,key\n", "no line says whose result it is"),
        ("column,meaning\nTest,assessment\nPupil,district id\n", "no column has the flag key"),
        ("column,meaning,name\n,assessment,\n", "needs a name"),
    ],
)
async def test_a_layout_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, layout: str, why: str) -> None:
    (tmp_path / "ours.csv").write_text(layout)
    with pytest.raises(ConfigError, match=why) as refused:
        layouts.read(tmp_path / "ours.csv")
    assert refused.value.code == "layout-invalid"


# --- what exports do to a file


async def test_a_file_without_column_names_is_refused_without_being_quoted(tmp_path: Path) -> None:
    path = write(tmp_path, "2,Planted", header="1,Planted,Wren")
    with pytest.raises(ConfigError) as refused:
        await everything(path)
    assert refused.value.code == "layout-not-recognised"
    assert "Planted" not in f"{refused.value.message}{refused.value.fix}"


async def test_a_named_layout_says_which_column_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no column StudentID, TermName") as refused:
        await everything(write(tmp_path, "1,2,3,4"), layout="map-growth")
    assert refused.value.code == "csv-missing-column"
    with pytest.raises(ConfigError) as refused:
        await everything(write(tmp_path, "1,2,3,4"), layout="maps")
    assert refused.value.code == "layout-unknown"


@pytest.mark.parametrize("made", ["\ufeff{}", "{}\n\n", "{}\n,,,\n"], ids=["mark", "blank", "commas"])
async def test_what_spreadsheets_leave_in_a_file_does_not_matter(
    tmp_path: Path, own: dict[str, str], made: str
) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(made.format(f"{HEADER}\r\n007,Fractions,10/5/2026,3"))
    records, unreadable, notices = await everything(path, **own)
    assert [one["key"] for one in records["results"]] == ["Fractions|district|007|2026-10-05"]
    assert (unreadable, notices) == ([], [])


@pytest.mark.parametrize("separator", [";", "\t"])
async def test_other_separators_are_recognised(tmp_path: Path, own: dict[str, str], separator: str) -> None:
    path = write(tmp_path, separator.join(("1", "Fractions", "2026-10-01", "3")), header=HEADER.replace(",", separator))
    records, _, _ = await everything(path, **own)
    assert len(records["results"]) == 1


async def test_a_row_that_windows_wrote_is_read_and_told(tmp_path: Path, own: dict[str, str]) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(f"{HEADER},Name\n1,Fractions,2026-10-01,3,José\n".encode("cp1252"))
    records, unreadable, notices = await everything(path, **own)
    assert len(records["results"]) == 1 and unreadable == []
    assert notices == [Notice("file-unknown-column", "Name"), Notice("file-not-utf-8", "scores.csv")]


async def test_a_bad_row_costs_no_other(tmp_path: Path, own: dict[str, str]) -> None:
    rows = (
        '1,"Fractions,2026-10-01,3',
        "2,Fractions,2026-10-01,3",
        "3,Fractions,2026-10-01",
        "4,Fractions,2026-10-01,5",
    )
    records, unreadable, _ = await everything(write(tmp_path, *rows), **own)
    assert [one["student"] for one in records["results"]] == ["district|2", "district|4"]
    assert unreadable == [("scores.csv row 2", "csv-broken-quote"), ("scores.csv row 4", "csv-wrong-field-count")]


async def test_a_zip_is_read_like_a_folder(tmp_path: Path, own: dict[str, str]) -> None:
    path = tmp_path / "delivered.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("out/b.csv", f"{HEADER}\n1,Fractions,2026-10-01,3\n")
        made.writestr("out/a.csv", f"{HEADER}\n2,Fractions,2026-10-01,3\n")
        made.writestr("__MACOSX/._a.csv", "junk")
        made.writestr("readme.pdf", "junk")
    records, _, _ = await everything(path, **own)
    assert [one["student"] for one in records["results"]] == ["district|2", "district|1"]


async def test_a_zip_without_a_csv_is_refused(tmp_path: Path, own: dict[str, str]) -> None:
    with zipfile.ZipFile(tmp_path / "delivered.zip", "w") as made:
        made.writestr("readme.pdf", "junk")
    with pytest.raises(ConfigError) as refused:
        await everything(tmp_path / "delivered.zip", **own)
    assert refused.value.code == "result-files-none"


async def test_an_interrupted_pull_goes_on_at_its_line(tmp_path: Path, own: dict[str, str]) -> None:
    rows = [f"{n},Fractions,2026-10-01,{n}" for n in range(PAGE_ROWS * 2 + 10)]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        write(folder, *rows, name=name)
    async with opened(folder, **own) as source:
        whole = await pages_of(source, "results")
    assert [len(page.rows) for page in whole] == [PAGE_ROWS, PAGE_ROWS, 10] * 2
    for before, page in pairwise(whole):
        async with opened(folder, **own) as source:
            [cursor] = before.next
            again = await source.pull(RESOURCES["results"], cursor)
            assert (again.rows, again.positions) == (page.rows, page.positions)


async def test_memory_does_not_grow_with_the_file(tmp_path: Path, own: dict[str, str]) -> None:
    """Twenty results of a student cost what one does: only who and what is kept of the first pass."""
    peaks = []
    for times in (20, 100):
        rows = (f"{n % 100},Fractions,2026-{n // 100 % 12 + 1:02d}-{n // 1200 + 1:02d},{n}" for n in range(times * 500))
        path = write(tmp_path, *rows)
        tracemalloc.start()
        async with opened(path, **own) as source:
            for name in RESOURCES:
                page = await source.pull(RESOURCES[name], START)
                while page.next:
                    page = await source.pull(RESOURCES[name], page.next[0])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


async def test_check_tells_the_layout_the_results_and_what_is_not_understood(
    tmp_path: Path, own: dict[str, str]
) -> None:
    path = write(tmp_path, "1,Fractions,2026-10-01,3,x", ",Fractions,2026-10-01,3,x", header=f"{HEADER},Mood")
    async with opened(path, **own) as source:
        [finding] = await source.check()
    assert not finding.ok
    assert "ours, 2 results; columns that are not understood and dropped: Mood" in finding.text
    assert "1 results are nobody's" in finding.text


def test_a_column_with_an_endless_name_is_understood_as_nothing() -> None:
    """Patterns with two gaps take the square of its length: a megabyte of header would keep a worker for days."""
    for title in ("a" * 300 + "TobObservedGrowth", "To" * 500_000):
        assert layouts.named("map-growth").reading([title]).unknown == [title]
