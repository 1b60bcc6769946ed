"""Delivered files, end to end: uploaded and pulled by command; a delta that changes what it names and nothing else."""

import zipfile
from pathlib import Path

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


def test_deltas_that_came_since_the_last_pull_are_read_one_after_the_other(office: Office, tmp_path: Path) -> None:
    """Two nights' packages lie there: the newer one does not hide the older, and has the last word."""
    people = [f"stu-{n},,,true,s{n},Ada{n},Lund," for n in range(4)]
    roles = [f"r-{n},,,stu-{n},primary,student,sch-1" for n in range(4)]
    bulk = package(
        tmp_path, "bulk", orgs=[ORGS, "sch-1,,,Cedar,school,,"], users=[USERS, *people], roles=[ROLES, *roles]
    )
    folder = tmp_path / "in" / "sis"
    office.connect_files(folder)
    office.tell("upload", "oneroster", str(bulk))
    assert office.pull("oneroster")["state"] == "published"

    def deliver(day: int, **files: list[str]) -> None:
        office.tell("upload", "oneroster", str(package(tmp_path, "delta", **files)))

    at = "2026-10-0{}T13:45:00.000Z".format
    deliver(
        5,
        users=[
            USERS,
            f"stu-1,active,{at(5)},true,s1,First,Lund,",
            f"stu-2,active,{at(5)},true,s2,Only,Lund,",
            f"stu-3,tobedeleted,{at(5)},true,s3,Ada3,Lund,",
        ],
    )
    deliver(6, orgs=[ORGS, f"sch-1,active,{at(6)},Cedar Hill,school,,"])
    deliver(7, users=[USERS, f"stu-1,active,{at(7)},true,s1,Second,Lund,", f"stu-0,active,{at(7)},true,s0,Late,Lund,"])
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK, but no more of a zip than that")
    office.tell("upload", "oneroster", str(broken))
    assert office.ask("pull", "oneroster", code=2)["error_code"] == "csv-cannot-be-read"
    deliver(8, orgs=[ORGS, f"sch-2,active,{at(8)},Elm,school,,"])

    run = office.pull("oneroster")
    assert run["state"] == "published", run
    after = office.published("oneroster")
    assert {key: one["given_name"] for key, one in after["person"].items()} == {
        "stu-0": "Late",
        "stu-1": "Second",
        "stu-2": "Only",
    }
    assert {key: one["name"] for key, one in after["organization"].items()} == {"sch-1": "Cedar Hill", "sch-2": "Elm"}
    assert "csv-package-unreadable" in {one["code"] for one in run["leniencies"]}
    again = office.pull("oneroster")
    assert again["counts"]["published"] == {}


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
