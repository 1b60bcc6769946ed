"""Makes the state that the present program leaves behind, for its successors to upgrade: see README.md."""

import csv
import io
import json
import shutil
import sys
import zipfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from connectors.edfi.twin import twin as edfi
from connectors.oneroster.twin import twin as oneroster
from synthetic import build
from tests.e2e.office import QuickHome
from tests.e2e.processes import Home
from tests.proofs.record import commit
from tests.serving import serve

Records = Mapping[str, Sequence[dict[str, Any]]]

DISTRICT = build(schools=1, students=24, seed=1717)
AS = ("--as", "Robin Example")
CHOSEN = (
    ("guards", "set", "sis", "--limit", "users.removed=0.05", *AS),
    ("precedence", "set", "person.email", "edfi", "sis", *AS),
    ("crosswalks", "set", "oneroster", "session_type", "trimester", "term", *AS),
    ("schedule", "set", "sis", "--cron", "0 2 * * *", "--zone", "America/Chicago", *AS),
    ("year", "announce", "--last-day", "2027-06-14", "--first-day", "2027-08-16", "--because", "2026/27 ends.", *AS),
)
"""What a district chose, and has to be so for good."""
ASKED = ("guards show sis", "precedence", "crosswalks list oneroster", "year show")
COLUMNS = {
    "orgs": "name type identifier parentSourcedId",
    "academicSessions": "title type startDate endDate parentSourcedId schoolYear",
    "courses": "schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
    "classes": "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects "
    "subjectCodes periods",
    "users": "enabledUser orgSourcedIds role username userIds givenName familyName identifier email sms phone "
    "agentSourcedIds grades",
    "demographics": "birthDate sex asian white blackOrAfricanAmerican hispanicOrLatinoEthnicity",
    "enrollments": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
}


def main(folder: Path) -> None:
    folder.mkdir()
    with serve(oneroster(DISTRICT)) as url:
        records = {name: fetched(url, name) for name in COLUMNS}
    write_package(folder / "roster.zip", records)
    with QuickHome.made() as home, serve(edfi(DISTRICT)) as ods:
        shutil.copy(folder / "roster.zip", home.folder / "roster.zip")
        facts = worked(home, ods, records)
        home.json("backup", str(folder / "database.dump"))
        shutil.copy(home.home / "keys", folder / "keys")
    (folder / "facts.json").write_text(json.dumps({"commit": commit(), **facts}, indent=2) + "\n", encoding="utf-8")


def worked(home: Home, ods: str, records: Records) -> dict[str, Any]:
    """Two systems pulled, one plan sent and one begun, a client, and a roster that came back half empty."""
    roster = home.folder / "roster.zip"
    home.run("connect", "oneroster", "--name", "sis", "--set", f"path={roster}", "--yes")
    assert home.json("pull", "sis")["state"] == "published"
    home.connect_edfi(ods, education_organization_id=str(agency(ods)))
    assert home.json("pull", "edfi")["state"] == "published"
    first, second = families(home)[:2]
    final, draft = plan(home, first), plan(home, second)
    finalize(home, final, first)
    delivery = home.json("push", final, "--to", "edfi", *AS)
    assert delivery["state"] == "delivered", delivery
    client = home.json("client", "add", "planner", "--scope", "students.read")
    for words in CHOSEN:
        done = home.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    write_package(roster, records, without=14)
    held = home.json("pull", "sis", code=7)
    write_package(roster, records)
    return {
        "students": len(home.json("students")),
        "final": final,
        "draft": draft,
        "held": held["id"],
        "delivery": delivery["id"],
        "client": {"client_id": client["client_id"]},
        "sha256": home.one("SELECT sha256 FROM plan_version"),
        "entities": dict(home.sql("SELECT kind, count(*) FROM entity GROUP BY 1 ORDER BY 1")),
        "runs": sorted([run["id"], run["state"]] for run in home.json("runs")),
        "chosen": {words: chosen(home.json(*words.split())) for words in ASKED},
    }


def chosen(said: Any) -> Any:
    """Without what is only the present program's default."""
    return {name: value for name, value in said.items() if name != "default"} if isinstance(said, dict) else said


def asked(url: str, **headers: str) -> Any:
    with urlopen(Request(url, headers=headers)) as answer:
        return json.loads(answer.read())


def signed_in(url: str, key: str, form: str) -> dict[str, str]:
    basic = b64encode(f"{key}:demo-secret".encode()).decode()
    with urlopen(Request(url, form.encode(), {"Authorization": f"Basic {basic}"})) as answer:
        return {"Authorization": f"Bearer {json.loads(answer.read())['access_token']}"}


def fetched(url: str, name: str) -> list[dict[str, Any]]:
    """Every record of a collection of the OneRoster twin."""
    scope = "https://purl.imsglobal.org/spec/or/v1p2/scope/roster{}.readonly"
    scopes = "+".join(scope.format(part) for part in ("", "-demographics"))
    header = signed_in(f"{url}/token", "demo-client", f"grant_type=client_credentials&scope={scopes}")
    answer = asked(f"{url}/ims/oneroster/rostering/v1p2/{name}?limit=10000", **header)
    return list(next(iter(answer.values())))


def agency(ods: str) -> int:
    """The district's number in the Ed-Fi twin."""
    urls = asked(ods)["urls"]
    header = signed_in(urls["oauth"], "demo-key", "grant_type=client_credentials")
    [found] = asked(urls["dataManagementApi"].rstrip("/") + "/ed-fi/localEducationAgencies", **header)
    return int(found["localEducationAgencyId"])


def write_package(path: Path, records: Records, without: int = 0) -> None:
    """The records as OneRoster 1.1 CSV, without the first so many students."""
    students = sorted(user["sourcedId"] for user in records["users"] if user["roles"][0]["role"] == "student")
    gone = set(students[:without])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, columns in COLUMNS.items():
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(["sourcedId", "status", "dateLastModified", *columns.split()])
            for record in records[name]:
                if record["sourcedId"] not in gone and record.get("user", {}).get("sourcedId") not in gone:
                    cells = (cell(record, column) for column in columns.split())
                    writer.writerow([record["sourcedId"], "", "", *cells])
            package.writestr(f"{name}.csv", text.getvalue())
        lines = ["propertyName,value", "manifest.version,1.0", "oneroster.version,1.1"]
        package.writestr("manifest.csv", "\n".join([*lines, *(f"file.{name},bulk" for name in COLUMNS)]))


def cell(record: Mapping[str, Any], column: str) -> str:
    match column:
        case "userIds":
            return ",".join(f"{{{one['type']}:{one['identifier']}}}" for one in record.get("userIds", ()))
        case "role" if "roles" in record:
            return str(record["roles"][0]["role"])
        case "orgSourcedIds":
            return ",".join(role["org"]["sourcedId"] for role in record["roles"])
    if column.endswith("SourcedIds"):
        return ",".join(one["sourcedId"] for one in record.get(column.removesuffix("SourcedIds") + "s") or ())
    if column.endswith("SourcedId"):
        return str((record.get(column.removesuffix("SourcedId")) or {}).get("sourcedId", ""))
    value = record.get(column)
    return ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def families(home: Home) -> list[tuple[dict[str, Any], str]]:
    """Students with a parent: (student, the parent's id)."""
    kin = home.sql("SELECT doc FROM entity WHERE kind = 'relationship' AND doc->>'relation' IN ('mother', 'father')")
    parents = {doc["student"]: doc["contact"] for (doc,) in kin}
    students = home.sql("SELECT doc, CAST(id AS text) FROM entity WHERE kind = 'person' ORDER BY id")
    return [({"id": id, **doc}, parents[id]) for doc, id in students if id in parents]


def plan(home: Home, family: tuple[dict[str, Any], str]) -> str:
    """A draft with one of everything that a plan needs."""
    student, today = family[0], date.today()
    school = next(role["organization"] for role in student["roles"] if role["role"] == "student")
    [(owner,)] = home.sql(
        "SELECT CAST(id AS text) FROM entity WHERE kind = 'person' AND doc->>'population' = 'staff' "
        "AND CAST(doc->'roles' AS text) LIKE %(school)s ORDER BY id LIMIT 1",
        school=f"%{school}%",
    )
    content = {
        "coordinator": owner,
        "strengths": [{"statement": "Explains ideas clearly to younger pupils."}],
        "needs": [{
            "domain": "academic", "statement": "Reads with effort when texts are long.",
            "evidence": [{"observation": "Reads one page in the time of three.", "on": today.isoformat()}],
        }],
        "goals": [{
            "domain": "academic", "statement": "Reads a chapter and retells it.", "addresses": ["need-1"],
            "baseline_unknown_until": (today + timedelta(days=14)).isoformat(),
            "targets": [{
                "measure": "retelling", "value": 4, "due_on": (today + timedelta(days=120)).isoformat(),
            }],
        }],
        "supports": [{
            "name": "Reading group", "kind": "tutoring", "goals": ["goal-1"], "setting": "in_school",
            "delivery_method": "small_group", "frequency": 3, "frequency_interval": "week", "duration_minutes": 30,
            "owner": owner,
        }],
        "team": [{"who": owner, "role": "coordinator"}],
    }  # fmt: skip
    file = written(home, content)
    return str(home.json("plan", "new", "--student", student["id"], "--file", file, *AS)["id"])


def finalize(home: Home, id: str, family: tuple[dict[str, Any], str]) -> None:
    home.run("plan", "consult", id, *AS)
    meeting = {
        "held_on": date.today().isoformat(), "mode": "in_person", "outcome": "agreed",
        "participants": [{"who": family[1], "role": "parent"}],
    }  # fmt: skip
    content = json.loads(home.run("plan", "show", id).stdout) | {"consultations": [meeting]}
    home.run("plan", "edit", id, "--file", written(home, content), *AS)
    assert home.run("plan", "finalize", id, *AS).returncode == 0


def written(home: Home, content: dict[str, Any]) -> str:
    file = home.folder / "plan.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)


if __name__ == "__main__":
    main(Path(__file__).parent / sys.argv[1])
