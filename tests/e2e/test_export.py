"""The roster as a OneRoster CSV package: valid by a strict reader, and the same district again where it is taken in."""

import csv
import io
import json
import random
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from synthetic import build
from tests.e2e import random_roster
from tests.e2e.office import HELD, Docs, Office
from tests.e2e.processes import Home
from tests.serving import serve
from tests.strict_csv import checked

# What a file is of, and what the files are of that hold a part of it.
KINDS = {
    "orgs": "organization", "academicSessions": "session", "courses": "course", "classes": "class", "users": "person",
    "demographics": "person", "enrollments": "enrollment", "categories": "category", "scoreScales": "score_scale",
    "lineItems": "line_item", "results": "result", "resources": "resource",
}  # fmt: skip
PARTS = {
    "roles": "person.roles",
    "resultLearningObjectiveIds": "result.learning_objectives",
    "resultScoreScales": "result.score_scale",
    "lineItemScoreScales": "line_item.score_scale",
    "lineItemLearningObjectiveIds": "line_item.learning_objectives",
    "userResources": "person.resources",
    "classResources": "class.resources",
    "courseResources": "course.resources",
}
# Where the common schema has another word than the column or the field of the REST model.
WORDS = {
    "enabledUser": "active", "role": "roles", "roles": "roles", "userIds": "identifiers",
    "userMasterIdentifier": "identifiers", "primaryOrg": "primary_organization",
    "primaryOrgSourcedId": "primary_organization", "parentSourcedId": "parent",
    "preferredFirstName": "preferred_given_name", "preferredLastName": "preferred_family_name",
    "preferredGivenName": "preferred_given_name", "preferredFamilyName": "preferred_family_name",
    "classType": "type", "scoreStatus": "status", "scoreDate": "on", "assignDate": "assign_on", "dueDate": "due_on",
    "lineItemScoreScales": "score_scale", "resultScoreScales": "score_scale", "userResources": "resources",
    "lineItemLearningObjectiveIds": "learning_objectives", "resultLearningObjectiveIds": "learning_objectives",
}  # fmt: skip
SESSIONS = ("session", "grading_period")


@pytest.fixture
def templates(contracts: Path) -> Path:
    return contracts / "oneroster" / "templates"


@pytest.fixture
def other(installation: Home, office: Office) -> Office:
    """An empty district."""
    return Office(installation, f"{office.district}-copy")


@contextmanager
def source(office: Office, name: str, contracts: Path) -> Iterator[str]:
    """The district, filled from a system of that name."""
    kind, _, which = name.partition(" ")
    if kind == "files":
        office.connect_files(contracts / "oneroster" / "csv" / "synthetic-district" / which)
        office.pull("oneroster")
        yield ""
        return
    if kind == "random":
        folder = office.home.folder / office.district
        random_roster.write(random_roster.build(random.Random(int(which))), folder)
        office.connect_files(folder)
        published(office)
        yield ""
        return
    district = build(students=60, seed=int(which))
    made = oneroster_twin(district) if kind == "oneroster" else edfi_twin(district)
    with serve(made) as url:
        office.connect(kind, url)
        assert office.pull(kind)["state"] == "published"
        yield url


@pytest.mark.parametrize("version", ["1.2", "1.1"])
@pytest.mark.parametrize(
    "name", ["oneroster 1", "edfi 3", "random 4", "files maple_v1p2_bulk.zip", "files maple_v1p1_bulk.zip"]
)
def test_what_is_exported_is_the_same_district_elsewhere_but_for_what_was_said(
    office: Office, other: Office, contracts: Path, templates: Path, tmp_path: Path, name: str, version: str
) -> None:
    with source(office, name, contracts):
        place = tmp_path / "roster.zip"
        said = office.ask("export", "oneroster-csv", str(place), "--demographics", "--version", version)
    sheets = checked(place, templates, version)
    assert {file: about["rows"] for file, about in said["files"].items() if about["rows"]} == {
        file: len(rows) for file, rows in sheets.items() if rows
    }
    other.connect_files(place)
    assert other.pull("oneroster")["state"] == "published"
    compare(differences(district(office), district_by_first(other)), said["losses"])


def compare(found: dict[str, int], losses: list[dict[str, Any]]) -> None:
    """Whatever differs there was said, and how often; nothing else was said. Several losses may be of one entity."""
    stated: dict[str, list[int]] = {}
    for loss in losses:
        for field in fields(loss):
            stated.setdefault(field, []).append(loss["count"])
    assert found.keys() == stated.keys(), (set(found) ^ set(stated), losses)
    wrong = {
        field: (found[field], counts)
        for field, counts in stated.items()
        if not max(counts) <= found[field] <= sum(counts)
    }
    assert not wrong, losses


def fields(loss: dict[str, Any]) -> list[str]:
    """What of the common schema a loss is of: kind.field, or `kind.` where the whole entity is not there."""
    of, field = loss["of"], loss["field"]
    if of in PARTS:
        return [PARTS[of]]
    if of not in KINDS:  # it is said of a kind
        return [f"{of}.{field}"]
    kind = KINDS[of]
    if loss["what"] == "left out":
        return [f"{kind}."]
    if kind == "line_item" and field in ("academicSession", "gradingPeriod"):
        return [
            f"line_item.{name}"
            for name in SESSIONS
            if loss["what"] == "changed" or name[0] == field[0].replace("a", "s")
        ]
    return [f"{kind}.{WORDS.get(field, re.sub('([A-Z])', lambda found: '_' + found[1].lower(), field))}"]


def district(office: Office) -> dict[str, Docs]:
    found: dict[str, Docs] = {}
    for one in office.entities():
        found.setdefault(one.kind, {})[one.id] = one.doc
    return by_meaning(found)


def district_by_first(other: Office) -> dict[str, Docs]:
    """What the other district took in, by the ids of the first."""
    return by_meaning(other.published("oneroster"))


def by_meaning(found: dict[str, Docs]) -> dict[str, Docs]:
    """A relationship is known by whom it joins; the order of roles says nothing."""
    if "relationship" in found:
        found["relationship"] = {f"{doc['student']}|{doc['contact']}": doc for doc in found["relationship"].values()}
    for doc in found.get("person", {}).values():
        if "roles" in doc:
            doc["roles"] = sorted(doc["roles"], key=str)
    for doc in (doc for docs in found.values() for doc in docs.values()):
        for field in ("identifiers", "resources", "learning_objectives"):
            if field in doc:
                doc[field] = sorted(doc[field], key=str)
    return found


def differences(ours: dict[str, Docs], theirs: dict[str, Docs]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for kind in ours.keys() | theirs.keys():
        was, now = ours.get(kind, {}), theirs.get(kind, {})
        assert now.keys() <= was.keys(), f"{kind} was invented"
        for id, doc in was.items():
            if id not in now:
                found[f"{kind}."] += 1
                continue
            for field in doc.keys() | now[id].keys():
                if doc.get(field) != now[id].get(field):
                    found[f"{kind}.{field}"] += 1
    return dict(found)


# --- who may know, and what is refused


@pytest.fixture
def roster(office: Office, tmp_path: Path) -> Path:
    """The folder of a package that the district was filled from."""
    random_roster.write(random_roster.build(random.Random(7)), tmp_path / "source")
    office.connect_files(tmp_path / "source")
    published(office)
    return tmp_path / "source"


@pytest.mark.usefixtures("roster")
def test_demographics_go_out_on_demand_only_and_the_act_is_kept(office: Office, tmp_path: Path) -> None:
    said = office.ask("export", "oneroster-csv", str(tmp_path / "plain.zip"), "--as", "Kim")
    assert said["files"]["demographics"] == {"listed": "absent", "rows": 0}
    [withheld] = [loss for loss in said["losses"] if loss["what"] == "withheld"]
    with zipfile.ZipFile(tmp_path / "plain.zip") as package:
        text = b"".join(package.read(name) for name in package.namelist()).decode()
    assert "demographics.csv" not in package.namelist() and "2011-02-03" not in text and "2026-08-17" in text
    more = office.ask("export", "oneroster-csv", str(tmp_path / "full.zip"), "--demographics")
    assert more["files"]["demographics"]["rows"] == withheld["count"] > 0
    [(acts,)] = office.home.sql(
        "SELECT json_agg(json_build_array(subject, detail, actor->>'name') ORDER BY seq) FROM act "
        "WHERE act = 'oneroster-export' AND district_id = (SELECT id FROM district WHERE name = %(name)s)",
        name=office.district,
    )
    assert [(subject, detail["demographics"], who) for subject, detail, who in acts] == [
        (sha256((tmp_path / "plain.zip").read_bytes()).hexdigest(), False, "Kim"),
        (more["sha256"], True, "district IT"),
    ]


@pytest.mark.usefixtures("roster")
def test_who_must_be_kept_from_a_student_is_not_named_as_family(office: Office, tmp_path: Path) -> None:
    with office.home.database() as c:
        [(student, contact)] = c.execute(
            'UPDATE entity SET doc = CAST(CAST(doc AS jsonb) || \'{"restrictions": "By order of a court."}\' AS json) '
            "WHERE id = (SELECT id FROM entity WHERE kind = 'relationship' AND district_id = "
            "  (SELECT id FROM district WHERE name = %(name)s) LIMIT 1) RETURNING doc->>'student', doc->>'contact'",
            {"name": office.district},
        ).fetchall()
    said = office.ask("export", "oneroster-csv", str(tmp_path / "roster.zip"))
    [withheld] = [loss for loss in said["losses"] if loss["of"] == "relationship" and loss["what"] == "withheld"]
    assert withheld["count"] == 1
    users = csv.DictReader(io.StringIO(zipfile.ZipFile(tmp_path / "roster.zip").read("users.csv").decode()))
    agents = {user["sourcedId"]: user["agentSourcedIds"].split(",") for user in users}
    assert contact in agents and contact not in agents[student]


@pytest.mark.usefixtures("roster")
def test_people_are_told_what_was_written_what_was_lost_and_how_to_go_on(office: Office, tmp_path: Path) -> None:
    told = office.tell("export", "oneroster-csv", str(tmp_path / "roster"), "--version", "1.1")
    assert "users.csv" in told and "roles.csv" not in told
    assert "OneRoster 1.1 CSV has no column for it" in told
    assert re.search(r"--since \d+", told)
    again = office.home.run("export", "oneroster-csv", str(tmp_path / "roster"), district=office.district)
    assert again.returncode == 2 and "export-exists" in again.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["roster", "source"]


def test_what_cannot_be_told_any_more_is_refused(office: Office, roster: Path, tmp_path: Path) -> None:
    place = str(tmp_path / "delta.zip")
    first = office.ask("runs")[0]["id"]
    nothing = office.ask("export", "oneroster-csv", place, "--since", str(first))
    assert {about["listed"] for about in nothing["files"].values()} == {"absent"}
    assert nothing["losses"] == []
    place = str(tmp_path / "other.zip")
    assert office.ask("export", "oneroster-csv", place, "--since", "999999", code=2)["error"] == "run-unknown"

    student = next(one.id for one in office.entities() if one.doc.get("population") == "student")
    assert office.ask("purge", "student", student, "--because", "Asked for.", "--yes")["purged"]
    refused = office.ask("export", "oneroster-csv", place, "--since", str(first), code=6)
    assert refused["error"] == "export-since-purge"
    assert not Path(place).exists()
    whole = office.ask("export", "oneroster-csv", place)
    assert student not in zipfile.ZipFile(place).read("users.csv").decode()
    random_roster.write(random_roster.build(random.Random(8)), roster)
    published(office)
    again = office.ask("export", "oneroster-csv", str(tmp_path / "on.zip"), "--since", str(whole["run"]), code=6)
    assert again["error"] == "export-since-purge", "the run before the purge"
    since = str(office.ask("runs")[0]["id"])
    assert office.ask("export", "oneroster-csv", str(tmp_path / "on.zip"), "--since", since)

    with office.home.database() as c:
        c.execute(
            "UPDATE district SET history_from = now() + interval '1 hour' WHERE name = %(name)s",
            {"name": office.district},
        )
    place = str(tmp_path / "late.zip")
    assert office.ask("export", "oneroster-csv", place, "--since", since, code=6)["error"] == "history-gone"


# --- random districts, and what became of them


@pytest.mark.parametrize("seed", [2, 10])
def test_a_whole_and_what_changed_since_make_the_whole_of_today(
    office: Office, other: Office, installation: Home, templates: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    sheets = random_roster.build(rng)
    random_roster.write(sheets, tmp_path / "source")
    office.connect_files(tmp_path / "source")
    published(office)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    said = export(office, inbox / "1.zip")
    checked(inbox / "1.zip", templates)
    other.connect_files(inbox)
    published(other)
    compare(differences(district(office), district_by_first(other)), said["losses"])

    for n in (2, 3):
        random_roster.change(rng, sheets)
        random_roster.write(sheets, tmp_path / "source")
        published(office)
        since = said["run"]
        said = export(office, inbox / f"{n}.zip", "--since", str(since))
        delta = checked(inbox / f"{n}.zip", templates)
        assert {row["status"] for rows in delta.values() for row in rows} == {"active", "tobedeleted"}
        published(other)
    whole = tmp_path / "whole.zip"
    export(office, whole)
    fresh = Office(installation, f"{other.district}-fresh")
    fresh.connect_files(whole)
    published(fresh)
    assert district_by_first(other) == district_by_first(fresh)


def export(office: Office, place: Path, *more: str) -> Any:
    return office.ask("export", "oneroster-csv", str(place), "--demographics", *more)


def published(office: Office) -> None:
    """Pull, whatever the guards say: it is the packages that are looked at."""
    done = office.home.run("pull", "oneroster", "--json", district=office.district)
    assert done.returncode in (0, HELD), done.stdout + done.stderr
    if done.returncode == HELD:
        run = json.loads(done.stdout)["id"]
        assert office.ask("holds", "approve", str(run), "--because", "As it was made.")["state"] == "published"
