"""Delivered files, end to end: uploaded and pulled by command; a delta that changes what it names and nothing else."""

import os
import zipfile
from pathlib import Path

import pytest

from tests.e2e.office import Office

ORGS = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId"
USERS = "sourcedId,status,dateLastModified,enabledUser,username,givenName,familyName,agentSourcedIds"
ROLES = "sourcedId,status,dateLastModified,userSourcedId,roleType,role,orgSourcedId"


def package(folder: Path, mode: str, **files: list[str]) -> Path:
    path = folder / f"{mode}.zip"
    listed = "".join(f"file.{name},{mode}\n" for name in files)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("manifest.csv", f"propertyName,value\nmanifest.version,1.0\noneroster.version,1.2\n{listed}")
        for name, lines in files.items():
            made.writestr(f"{name}.csv", "\n".join(lines))
    return path


def test_an_upload_is_pulled_and_a_delta_changes_only_what_it_names(office: Office, tmp_path: Path) -> None:
    people = [f"stu-{n},,,true,s{n},Ada{n},Lund,par-{n}" for n in range(12)]
    people += [f"par-{n},,,true,p{n},Bo{n},Lund,stu-{n}" for n in range(12)]
    roles = [f"r-{who}-{n},,,{who}-{n},primary,{role},sch-1" for who, role in (("stu", "student"), ("par", "parent"))
             for n in range(12)]  # fmt: skip
    bulk = package(
        tmp_path,
        "bulk",
        orgs=[ORGS, "sch-1,,,Cedar,school,,", "sch-2,,,Elm,school,,"],
        users=[USERS, *people],
        roles=[ROLES, *roles],
    )
    folder = tmp_path / "in" / "sis"
    office.connect_files(folder)
    assert office.ask("pull", "oneroster", code=2)["error_code"] == "inbox-empty"

    assert "Taken in as upload-" in office.tell("upload", "oneroster", str(bulk))
    assert office.pull("oneroster")["state"] == "published"
    before = office.published("oneroster")
    assert before["relationship"].keys() == {f"stu-{n}|par-{n}" for n in range(12)}

    at = "2026-10-05T13:45:00.000Z"
    delta = package(
        tmp_path,
        "delta",
        users=[
            USERS,
            f"stu-1,active,{at},true,s1,Renamed,Lund,par-1",
            f"par-3,tobedeleted,{at},true,p3,Bo3,Lund,stu-3",
        ],
        roles=[ROLES, f"r-stu-1,active,{at},stu-1,primary,student,sch-1"],
    )
    office.tell("upload", "oneroster", str(delta))
    run = office.pull("oneroster")
    assert run["state"] == "published", run
    after = office.published("oneroster")
    assert after["organization"] == before["organization"]
    gone = {"par-3"}
    assert after["person"].keys() == before["person"].keys() - gone
    assert after["person"]["stu-1"]["given_name"] == "Renamed"
    others = after["person"].keys() - {"stu-1"}
    assert {key: after["person"][key] for key in others} == {key: before["person"][key] for key in others}
    assert "stu-1|par-1" in after["relationship"]


def test_of_several_deltas_since_the_last_pull_none_is_lost(office: Office, tmp_path: Path) -> None:
    """Nor is the bulk package before them, where nobody pulled it; and what that one leaves out is gone."""
    at = "2026-10-05T13:45:00.000Z"
    folder = tmp_path / "in" / "sis"
    office.connect_files(folder)

    def deliver(mode: str, *orgs: str) -> None:
        office.tell("upload", "oneroster", str(package(tmp_path, mode, orgs=[ORGS, *orgs])))

    deliver("bulk", *(f"sch-{n},,,School {n},school,," for n in range(20)))
    deliver("delta", f"sch-1,tobedeleted,{at},School 1,school,,")
    assert office.pull("oneroster")["state"] == "published"
    assert office.published("oneroster")["organization"].keys() == {f"sch-{n}" for n in range(20)} - {"sch-1"}

    deliver("delta", f"sch-2,tobedeleted,{at},School 2,school,,", f"sch-3,active,{at},Elm,school,,")
    deliver("delta", f"sch-3,active,{at},Oak,school,,", f"sch-21,active,{at},New,school,,")
    assert office.pull("oneroster")["state"] == "published"
    schools = office.published("oneroster")["organization"]
    assert schools.keys() == {f"sch-{n}" for n in (*range(20), 21)} - {"sch-1", "sch-2"}
    assert schools["sch-3"]["name"] == "Oak"
    assert "are read before it" in office.tell("check", "oneroster")

    deliver("bulk", *(f"sch-{n},,,School {n},school,," for n in range(4, 20)))
    deliver("delta", f"sch-4,active,{at},Fir,school,,")
    assert office.pull("oneroster")["state"] == "published"
    schools = office.published("oneroster")["organization"]
    assert schools.keys() == {f"sch-{n}" for n in range(4, 20)} and schools["sch-4"]["name"] == "Fir"


def test_a_delta_behind_one_that_cannot_be_read_is_not_taken_for_the_next(office: Office, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    office.connect_files(folder)
    rows = ["sch-1,active,2026-10-05T13:45:00.000Z,Cedar,school,,"]
    package(tmp_path, "bulk", orgs=[ORGS, "sch-1,,,Cedar,school,,"]).rename(folder / "1.zip")
    (folder / "2.zip").write_bytes(b"PK broken")
    package(tmp_path, "delta", orgs=[ORGS, *rows]).rename(folder / "3.zip")
    for n in (1, 2, 3):
        os.utime(folder / f"{n}.zip", (1_790_000_000 + n,) * 2)
    assert "2.zip before it cannot be read" in office.ask("pull", "oneroster", code=2)["error"]
    (folder / "2.zip").unlink()
    assert office.pull("oneroster")["state"] == "published"


@pytest.mark.parametrize("kind", ["oneroster", "assessment_files"])
def test_a_folder_is_connected_before_anything_can_be_uploaded_to_it(office: Office, tmp_path: Path, kind: str) -> None:
    connect = ("connect", kind, "--name", "in", "--set")
    assert "Nothing lies at" in office.tell(*connect, f"path={tmp_path / 'in'}")
    assert office.ask("pull", "in", code=2)["error_code"] == "inbox-empty"
    assert office.ask(*connect, f"path={tmp_path / 'roster.zip'}", code=2)["error"] == "inbox-empty"


def test_an_upload_to_a_connection_without_a_folder_is_refused(office: Office, tmp_path: Path) -> None:
    path = package(tmp_path, "bulk", orgs=[ORGS, "sch-1,,,Cedar,school,,"])
    office.connect_files(path)
    office.tell("upload", "oneroster", str(path), code=2)


def test_what_was_uploaded_is_named_by_a_purge_and_goes_with_the_district(office: Office, tmp_path: Path) -> None:
    """An uploaded file is a copy of ours: a purge that says nothing of it would be believed."""
    path = package(
        tmp_path,
        "bulk",
        orgs=[ORGS, "sch-1,,,Cedar,school,,"],
        users=[USERS, "stu-1,,,true,s1,Ada,Lund,", "stu-2,,,true,s2,Bo,Lund,"],
        roles=[ROLES, "r-1,,,stu-1,primary,student,sch-1", "r-2,,,stu-2,primary,student,sch-1"],
    )
    folder = tmp_path / "in"
    folder.mkdir()
    theirs = folder / "other.txt"
    theirs.write_text("theirs")
    office.connect_files(folder)
    office.tell("upload", "oneroster", str(path))
    office.pull("oneroster")
    [upload] = folder.glob("upload-*")
    student = office.ask("students")[0]["id"]
    done = office.ask("purge", "student", student, "--because", "they moved", "--yes")
    assert done["uploaded"] == [str(upload)]
    name = office.district
    office.tell("district", "delete", name, "--yes", name, "--without-export", "--because", "it ended")
    assert list(folder.iterdir()) == [theirs]
