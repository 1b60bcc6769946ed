"""A checker of OneRoster CSV packages that forgives nothing and knows nothing of who wrote them."""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

Sheets = dict[str, list[dict[str, str]]]

# OneRoster CSV: what no line of a file may be without
REQUIRED = {
    "academicSessions": "title type startDate endDate schoolYear",
    "categories": "title",
    "classes": "title courseSourcedId classType schoolSourcedId termSourcedIds",
    "classResources": "classSourcedId resourceSourcedId",
    "courseResources": "courseSourcedId resourceSourcedId",
    "courses": "title orgSourcedId",
    "enrollments": "classSourcedId schoolSourcedId userSourcedId role",
    "lineItemLearningObjectiveIds": "lineItemSourcedId source learningObjectiveId",
    "lineItems": "title assignDate dueDate classSourcedId categorySourcedId resultValueMin resultValueMax",
    "lineItemScoreScales": "lineItemSourcedId scoreScaleSourcedId",
    "orgs": "name type",
    "resources": "vendorResourceId",
    "resultLearningObjectiveIds": "resultSourcedId source learningObjectiveId",
    "results": "lineItemSourcedId studentSourcedId scoreStatus scoreDate",
    "resultScoreScales": "resultSourcedId scoreScaleSourcedId",
    "roles": "userSourcedId roleType role orgSourcedId",
    "scoreScales": "title type orgSourcedId courseSourcedId classSourcedId scoreScaleValue",
    "userResources": "userSourcedId resourceSourcedId",
    "users": "enabledUser username givenName familyName",
}
REQUIRED_MORE = {
    "1.1": {
        "lineItems": "gradingPeriodSourcedId",
        "results": "score",
        "users": "orgSourcedIds role",
    },
    "1.2": {"lineItems": "academicSessionSourcedId schoolSourcedId"},
}
WHERE = {
    "academicSession": "academicSessions", "agent": "users", "category": "categories", "class": "classes",
    "course": "courses", "gradingPeriod": "academicSessions", "lineItem": "lineItems", "org": "orgs",
    "primaryOrg": "orgs", "resource": "resources", "result": "results", "school": "orgs",
    "schoolYear": "academicSessions", "scoreScale": "scoreScales", "student": "users", "term": "academicSessions",
    "user": "users",
}  # fmt: skip
"""What a column `<name>SourcedId` refers to."""
DAYS = ("startDate", "endDate", "beginDate", "birthDate", "assignDate", "dueDate", "scoreDate")
TRUTHS = ("enabledUser", "primary", "inProgress", "incomplete", "late", "missing", "hispanicOrLatinoEthnicity", "asian")
NUMBERS = ("resultValueMin", "resultValueMax", "score", "weight")
WORDS = {
    ("orgs", "type"): "department|district|local|national|school|state",
    ("academicSessions", "type"): "gradingPeriod|semester|schoolYear|term",
    ("classes", "classType"): "homeroom|scheduled",
    ("enrollments", "role"): "administrator|proctor|student|teacher",
    ("roles", "roleType"): "primary|secondary",
    ("roles", "role"): "aide|counselor|districtAdministrator|guardian|parent|principal|proctor|relative"
    "|siteAdministrator|student|systemAdministrator|teacher",
    ("users", "role"): "administrator|aide|guardian|parent|proctor|relative|student|teacher",
    ("results", "scoreStatus"): "exempt|fully graded|not submitted|partially graded|submitted",
}


def checked(path: Path, templates: Path, version: str = "1.2") -> Sheets:
    """The lines of a package by file, every rule looked after. `templates` has a file with the header of each."""
    entries = contents(path)
    headers = {name: (templates / f"v{version.replace('.', 'p')}" / name).read_text().split("\n")[0].strip()
               for name in (one.name for one in (templates / f"v{version.replace('.', 'p')}").iterdir())}  # fmt: skip
    modes = manifest(entries["manifest.csv"], version, set(headers))
    assert set(entries) - {"manifest.csv"} == {name for name, mode in modes.items() if mode != "absent"}
    kinds = set(modes.values()) - {"absent"}
    assert len(kinds) <= 1, "bulk and delta are mixed"
    sheets: Sheets = {}
    for name in sorted(set(entries) - {"manifest.csv"}):
        file = name.removesuffix(".csv")
        sheets[file] = sheet(file, entries[name], headers[name], version, delta=modes[name] == "delta")
    if kinds == {"bulk"}:
        for fault in dangling(sheets):
            raise AssertionError(fault)
    return sheets


def contents(path: Path) -> dict[str, str]:
    """File name -> text, of a zip or a folder without folders in it."""
    if path.is_dir():
        assert path.stat().st_mode & 0o777 == 0o700
        raw = {one.name: one.read_bytes() for one in path.iterdir()}
        assert all(one.stat().st_mode & 0o777 == 0o600 for one in path.iterdir())
    else:
        assert path.stat().st_mode & 0o777 == 0o600
        with zipfile.ZipFile(path) as package:
            assert package.testzip() is None
            raw = {name: package.read(name) for name in package.namelist()}
            assert len(raw) == len(package.namelist())
    assert all("/" not in name for name in raw)
    return {name: data.decode("utf-8") for name, data in raw.items()}


def manifest(said: str, version: str, files: set[str]) -> dict[str, str]:
    lines = list(csv.reader(io.StringIO(said, newline=""), strict=True))
    assert lines[0] == ["propertyName", "value"]
    properties = dict(map(tuple, lines[1:]))  # type: ignore[arg-type]
    assert len(properties) == len(lines) - 1
    assert properties.pop("manifest.version") == "1.0"
    assert properties.pop("oneroster.version") == version
    assert properties.pop("source.systemName") and properties.pop("source.systemCode")
    modes = {f"{name.removeprefix('file.')}.csv": mode for name, mode in properties.items()}
    assert set(modes) == files - {"manifest.csv"}
    assert set(modes.values()) <= {"absent", "bulk", "delta"}
    return modes


def sheet(file: str, said: str, header: str, version: str, *, delta: bool) -> list[dict[str, str]]:
    assert not said.startswith("\ufeff")
    assert said.endswith("\r\n") and "\n" not in said.replace("\r\n", "") and "\r" not in said.replace("\r\n", "")
    assert said.split("\r\n")[0] == header
    columns = header.split(",")
    rows = list(csv.reader(io.StringIO(said, newline=""), strict=True))[1:]
    assert len(rows) == said.count("\r\n") - 1, "a line break stands in a field"
    required = {*REQUIRED.get(file, "").split(), *REQUIRED_MORE[version].get(file, "").split()}
    found = []
    for cells in rows:
        assert len(cells) == len(columns)
        row = dict(zip(columns, cells, strict=True))
        assert re.fullmatch(r"[0-9A-Za-z./@_-]{1,255}", row["sourcedId"])
        if delta:
            assert row["status"] in ("active", "tobedeleted")
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["dateLastModified"])
        else:
            assert row["status"] == row["dateLastModified"] == ""
        for column, cell in row.items():
            assert cell or column not in required, f"{file}.{column} is empty"
            if cell and column not in ("sourcedId", "status", "dateLastModified"):
                check_cell(file, column, cell, version)
        assert row.get("password", "") == ""
        found.append(row)
    ids = [row["sourcedId"] for row in found]
    assert len(ids) == len(set(ids)), f"{file} has an id twice"
    return found


def check_cell(file: str, column: str, cell: str, version: str) -> None:
    where = f"{file}.{column}"
    assert cell == cell.strip() or column not in (*DAYS, *TRUTHS, *NUMBERS), where
    assert cell.isprintable(), where
    if column in DAYS:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", cell), where
    elif column in TRUTHS:
        assert cell in ("true", "false"), where
    elif column in NUMBERS:
        assert re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", cell), where
    elif column == "schoolYear":
        assert re.fullmatch(r"\d{4}", cell), where
    elif column == "userIds":
        assert re.fullmatch(r"\{[^{}:]+:[^{}]+\}(,\{[^{}:]+:[^{}]+\})*", cell), where
    elif (file, column) in WORDS:
        extended = version == "1.2" and re.fullmatch(r"ext:[a-zA-Z0-9.\-_]+", cell) and column != "roleType"
        assert extended or cell in WORDS[file, column].split("|"), where


def dangling(sheets: Sheets) -> Iterator[str]:
    """References to what is not in the package."""
    ids = {file: {row["sourcedId"] for row in rows} for file, rows in sheets.items()}
    for file, rows in sheets.items():
        for row in rows:
            for column, cell in row.items():
                if not cell or "SourcedId" not in column:
                    continue
                name = re.sub("SourcedIds?$", "", column)
                target = file if name == "parent" else WHERE[name]
                for id in cell.split(","):
                    if id not in ids.get(target, ()):
                        yield f"{file}.{column} refers to a line of {target} that is not there"
    if "demographics" in ids and not ids["demographics"] <= ids["users"]:
        yield "demographics of nobody"
