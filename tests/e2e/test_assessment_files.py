"""Vendors' result files at the command line: counted by another reader, read twice, corrected, matched and replayed."""

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.office import HELD, Office

Rows = list[dict[str, str]]


class Sample(NamedTuple):
    """A real file: `count` says how many subject results another reader finds in its rows; `district` and `key` name
    the columns with the district's and the vendor's id of a student; `score` one with a score."""

    path: str
    count: Callable[[Rows], int]
    district: str
    score: str


def one_per_row(rows: Rows) -> int:
    return len(rows)


def one_per_final_date(rows: Rows) -> int:
    return sum(bool(row[title]) for row in rows for title in row if title.endswith("Final Date"))


SAMPLES = {
    "map": Sample("MAP_Growth/sample_anonymized_file.csv", one_per_row, "StudentID", "TestRITScore"),
    "iready-ela": Sample("i-Ready/sample_anonymized_file_ela.csv", one_per_row, "Student ID", "Overall Scale Score"),
    "iready-math": Sample("i-Ready/sample_anonymized_file_math.csv", one_per_row, "Student ID", "Overall Scale Score"),
    "star": Sample("STAR/SR_sample_anonymized_file.csv", one_per_row, "StudentIdentifier", "ScaledScore"),
    "star-standards": Sample(
        "STAR/SR_Dashboard_Standards_v2_sample_anonymized_file.csv",
        one_per_row, "StudentIdentifier", "StandardPercentMastery",
    ),
    "star-skills": Sample(
        "STAR/SR_SkillArea_v1_sample_anonymized_file.csv", one_per_row, "StudentIdentifier", "SkillAreaMasteryScore"
    ),
    "dibels": Sample(
        "Dibels_8_Benchmark/sample_anonymized_file.csv", one_per_row, "Student Primary ID", "Composite Score"
    ),
    "fastbridge": Sample(
        "FastBridge_CBMreading/sample_anonymized_file_fastbridge_cbmreading.csv",
        one_per_final_date, "Local ID", "Fall CBMR-English Median WRC",
    ),
    "fastbridge-questions": Sample(
        "FastBridge_CBMreading/sample_anonymized_file_fastbridge_comprehension_question.csv",
        one_per_final_date, "Local ID", "Fall Comprehension Question Items Correct",
    ),
    "fastbridge-recall": Sample(
        "FastBridge_CBMreading/sample_anonymized_file_fastbridge_comprehension_recall.csv",
        one_per_final_date, "Local ID", "Fall Comprehension Recall Detailed Comp Items Correct",
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
USERS = "sourcedId,enabledUser,username,givenName,familyName,identifier,role,orgSourcedIds"


@pytest.fixture
def vendors(contracts: Path) -> Path:
    return contracts / "edfi" / "vendor-assessment-csv"


def rows_of(path: Path) -> Rows:
    """As a reader without any of our code sees them."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def roster(office: Office, folder: Path, numbers: Iterable[str]) -> None:
    """The student information system: whoever has these numbers, by other keys and invented names."""
    folder.mkdir(exist_ok=True)
    users = [
        f"sis-{n},true,u{n},Given{n},Family{n},{number},student,d" for n, number in enumerate(sorted(set(numbers)))
    ]
    files = {
        "manifest": ["propertyName,value", "oneroster.version,1.1", "file.orgs,bulk", "file.users,bulk"],
        "orgs": ["sourcedId,name,type,identifier", "d,Linden Valley,district,LV"],
        "users": [USERS, *users],
    }
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    if "sis" not in [one["name"] for one in office.ask("connections")]:
        office.ask("connect", "oneroster", "--name", "sis", "--set", f"path={folder}", "--yes")
    run = office.ask("pull", "sis")
    assert run["state"] == "published", run


def connect(office: Office, path: Path, **settings: str) -> None:
    given = [f"--set={name}={value}" for name, value in {"path": path, **settings}.items()]
    office.ask("connect", "assessment_files", "--name", "results", *given, "--yes")


def collections(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {count["collection"]: count for count in run["counts"]["collections"]}


def results(office: Office) -> list[dict[str, Any]]:
    return [entity.doc for entity in office.entities() if entity.kind == "assessment_result"]


def whole(office: Office) -> int:
    """The published results that are no part which the same row reported beside the whole."""
    keys = [entity.keys["results"] for entity in office.entities() if entity.kind == "assessment_result"]
    records = [
        key
        for key, _ in office._rows("SELECT r.key, 1 FROM record r WHERE r.collection = 'results' AND r.district_id = ")
    ]
    return len(set(keys) & set(records))


@EACH
def test_a_sample_is_counted_read_again_matched_and_corrected(
    office: Office, vendors: Path, tmp_path: Path, sample: Sample
) -> None:
    rows = rows_of(vendors / sample.path)
    path = Path(shutil.copy(vendors / sample.path, tmp_path / Path(sample.path).name))
    known = sorted(students(rows, sample))
    unknown = known.pop()

    # One unknown student: listed, and nobody else suffers.
    roster(office, tmp_path / "sis", [*known, "wrong-number"])
    connect(office, path)
    run = office.ask("pull", "results")
    assert run["state"] == "published", run
    assert run["counts"]["people"] == {"named": len(known) + 1, "recognised": len(known)}
    listed = office.ask("unmatched", "results")
    assert (listed["named"], listed["recognised"]) == (len(known) + 1, len(known))
    [one] = listed["students"]
    assert (one["code"], unknown in str(listed)) == ("unmatched", False)
    assert one["results"] > 0
    of_known = whole(office)

    # Their number is corrected: everything of the file is published or set aside, as another reader counts it.
    roster(office, tmp_path / "sis", [*known, unknown])
    assert office.ask("unmatched", "results")["students"] == []
    assert run["rejects"] == (1 if "MAP" in sample.path else 0)  # the last row of that file lacks its last field
    assert of_known < whole(office) == sample.count(rows) - run["rejects"]

    written = office.written()
    again = office.ask("pull", "results")
    assert (again["state"], again["publication"]) == ("published", None)
    assert office.written() == written

    change(path, sample.district, rows[0][sample.district], sample.score, "77")
    corrected = office.ask("pull", "results")
    assert corrected["state"] == "published"
    assert corrected["counts"]["published"] == {"assessment_result": {"changed": 1}}
    count = collections(corrected)["results"]
    assert (count["added"], count["changed"], count["gone"]) == (0, 1, 0)
    assert any(score["value"] == "77" for result in results(office) for score in result.get("scores", ()))


def students(rows: Rows, sample: Sample) -> set[str]:
    return {row[sample.district] for row in rows}


def change(path: Path, column: str, is_: str, other: str, value: str) -> None:
    """Write a value into the first row that has another one in a column; the other rows stay byte for byte."""
    lines = path.read_text("utf-8-sig").splitlines()
    [header] = csv.reader(lines[:1])
    for n, line in enumerate(lines[1:], start=1):
        [cells] = csv.reader([line])
        if cells[header.index(column)] == is_:
            cells[header.index(other)] = value
            made = io.StringIO()
            csv.writer(made, lineterminator="").writerow(cells)
            lines[n] = made.getvalue()
            break
    path.write_text("\n".join(lines) + "\n")


def test_an_id_that_is_corrected_in_the_file_publishes_what_waited(
    office: Office, vendors: Path, tmp_path: Path
) -> None:
    sample = SAMPLES["star"]
    rows = rows_of(vendors / sample.path)
    roster(office, tmp_path / "sis", students(rows, sample))
    right = rows[0][sample.district]
    path = Path(shutil.copy(vendors / sample.path, tmp_path / "SR.csv"))
    change(path, sample.district, right, sample.district, "000")
    connect(office, path)
    office.ask("pull", "results")
    assert len(office.ask("unmatched", "results")["students"]) == 1
    before = whole(office)
    change(path, sample.district, "000", sample.district, right)
    assert office.ask("pull", "results")["state"] == "published"
    # The number that nobody has is still one that came, but nothing waits for it: the vendor's id says whose it is.
    assert [one["results"] for one in office.ask("unmatched", "results")["students"]] == [0]
    assert whole(office) == before + 1 == len(rows)


def test_a_file_that_hardly_names_anybody_known_waits_for_a_person(office: Office, tmp_path: Path) -> None:
    roster(office, tmp_path / "sis", [f"N{n}" for n in range(20)])
    path = tmp_path / "scores.csv"
    path.write_text(made(f"{'N' if n < 5 else 'X'}{n}" for n in range(20)))
    layout = tmp_path / "ours.csv"
    layout.write_text(LAYOUT)
    connect(office, path, layout_file=str(layout))
    held = office.ask("pull", "results", code=HELD)
    assert [(hold["code"], hold["affected"], hold["known"]) for hold in held["holds"]] == [("match-rate-low", 15, 20)]
    assert "5 of 20 students are recognised" in held["holds"][0]["reason"]
    assert results(office) == []

    office.tell("guards", "set", "results", "--limit", "person.recognised=0.2")
    assert office.ask("pull", "results")["state"] == "published"
    assert len(results(office)) == 5


LAYOUT = """column,meaning,name,datatype,objective,flags
Pupil,district id,,,,required
Test,assessment,,,,required
When,date,,,,key
Points,score,points,integer,,
"""


def made(numbers: Iterable[str]) -> str:
    return (
        "\n".join(
            [
                "Pupil,Test,When,Points,Lunch",
                *(f"{n},Fractions,10/{k % 28 + 1}/2026,{k},planted" for k, n in enumerate(numbers)),
            ]
        )
        + "\n"
    )


def test_who_is_unknown_is_shown_in_full_for_a_reason_only(office: Office, tmp_path: Path) -> None:
    roster(office, tmp_path / "sis", ["N1"])
    (tmp_path / "scores.csv").write_text(made(["N1", "X-4711"]))
    (tmp_path / "ours.csv").write_text(LAYOUT)
    connect(office, tmp_path / "scores.csv", layout_file=str(tmp_path / "ours.csv"))
    office.ask("pull", "results")
    assert "X-4711" not in str(office.ask("unmatched", "results"))
    office.ask("unmatched", "results", "--reveal", code=6)
    [one] = office.ask("unmatched", "results", "--reveal", "--because", "To correct them.")["students"]
    assert one["district"] == "X-4711"
    table = office.tell("unmatched", "results", "--csv", "--because", "To correct them.")
    assert next(csv.DictReader(io.StringIO(table)))["district"] == "X-4711"


def test_files_connected_first_are_no_system_of_record(office: Office, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text(made(["N1"]))
    (tmp_path / "ours.csv").write_text(LAYOUT)
    connect(office, tmp_path / "scores.csv", layout_file=str(tmp_path / "ours.csv"))
    office.ask("pull", "results")
    assert office.waiting()["results", "person", "unmatched"] == 1
    roster(office, tmp_path / "sis", ["N1"])
    assert [result["scores"][0]["value"] for result in results(office)] == ["0"]
    assert office.waiting() == {}


def test_nothing_about_a_person_is_stored_but_ids_and_results(office: Office, tmp_path: Path) -> None:
    roster(office, tmp_path / "sis", ["N1"])
    (tmp_path / "scores.csv").write_text(made(["N1", "X2"]))
    (tmp_path / "ours.csv").write_text(LAYOUT)
    connect(office, tmp_path / "scores.csv", layout_file=str(tmp_path / "ours.csv"))
    office.ask("pull", "results")
    kept = office._rows("SELECT CAST(r.body AS text) FROM record r WHERE r.district_id = ")
    assert kept and "planted" not in str(kept)


def test_the_newest_file_of_a_folder_has_the_last_word(office: Office, tmp_path: Path) -> None:
    roster(office, tmp_path / "sis", ["N1", "N2"])
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "ours.csv").write_text(LAYOUT)
    for n, (name, points) in enumerate((("b.csv", "1"), ("a.csv", "2"))):
        (folder / name).write_text(f"Pupil,Test,When,Points\nN1,Fractions,2026-10-01,{points}\n")
        os.utime(folder / name, (n, n))
    connect(office, folder, layout_file=str(tmp_path / "ours.csv"))
    office.ask("pull", "results")
    assert [result["scores"][0]["value"] for result in results(office)] == ["2"]


def test_a_result_that_does_not_come_again_is_not_gone(office: Office, tmp_path: Path) -> None:
    """A vendor delivers what is new since the last file, or one window of the year."""
    roster(office, tmp_path / "sis", [f"N{n}" for n in range(30)])
    (tmp_path / "ours.csv").write_text(LAYOUT)
    path = tmp_path / "scores.csv"
    path.write_text(made(f"N{n}" for n in range(30)))
    connect(office, path, layout_file=str(tmp_path / "ours.csv"))
    assert office.ask("pull", "results")["state"] == "published"
    path.write_text("Pupil,Test,When,Points\nN1,Fractions,2027-01-15,9\n")
    run = office.ask("pull", "results")
    assert (run["state"], run["counts"]["published"]) == ("published", {"assessment_result": {"added": 1}})
    assert len(results(office)) == 31


def test_a_row_that_is_corrected_in_its_file_is_set_aside_no_more(office: Office, tmp_path: Path) -> None:
    roster(office, tmp_path / "sis", ["N1", "N2"])
    (tmp_path / "ours.csv").write_text(LAYOUT)
    path = tmp_path / "scores.csv"
    path.write_text("Pupil,Test,When,Points\nN1,Fractions,2026-10-01,1\n,Fractions,2026-10-01,2\n")
    connect(office, path, layout_file=str(tmp_path / "ours.csv"))
    office.ask("pull", "results")
    assert sum(cause["records"] for cause in office.ask("rejects")["set_aside"]) == 1
    office.ask("pull", "results")
    assert sum(cause["records"] for cause in office.ask("rejects")["set_aside"]) == 1
    path.write_text("Pupil,Test,When,Points\nN1,Fractions,2026-10-01,1\nN2,Fractions,2026-10-01,2\n")
    office.ask("pull", "results")
    assert office.ask("rejects")["set_aside"] == []
    assert len(results(office)) == 2


def test_an_uploaded_file_is_pulled(office: Office, tmp_path: Path) -> None:
    roster(office, tmp_path / "sis", ["N1"])
    (tmp_path / "ours.csv").write_text(LAYOUT)
    (tmp_path / "in").mkdir()
    connect(office, tmp_path / "in", layout_file=str(tmp_path / "ours.csv"))
    assert "no file" in str(office.ask("pull", "results", code=2))
    (tmp_path / "scores.csv").write_text(made(["N1"]))
    office.tell("upload", "results", str(tmp_path / "scores.csv"))
    assert office.ask("pull", "results")["state"] == "published"
    assert len(results(office)) == 1


def test_a_student_in_the_files_of_several_vendors_is_one(office: Office, tmp_path: Path) -> None:
    """One vendor gives its own id beside the district's, another only the district's: both mean the same child."""
    roster(office, tmp_path / "sis", ["0007"])
    folder = tmp_path / "in"
    folder.mkdir()
    connect(office, folder)
    (folder / "map.csv").write_text(
        "TermName,StudentID,Subject,TestStartDate,TestRITScore\nFall 2026-2027,0007,Reading,09/16/2026,208\n"
    )
    assert office.ask("pull", "results")["state"] == "published"
    (folder / "fast.csv").write_text(
        "FAST ID,Local ID,Assessment,Fall X Median WRC,Fall X Final Date\n91,0007,CBMR,101,9/22/2026\n"
    )
    office.ask("pull", "results")
    assert office.ask("unmatched", "results")["students"] == []
    results = [one.doc for one in office.entities() if one.kind == "assessment_result"]
    assert len(results) == 2 and len({doc["student"] for doc in results}) == 1
