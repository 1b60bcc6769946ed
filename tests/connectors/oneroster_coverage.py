"""Every endpoint and model of OneRoster 1.1 and 1.2, and what becomes of it: the table in the connector's README.

`PYTHONPATH=. python -m tests.connectors.oneroster_coverage` writes the table anew.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mappings.oneroster.losses import FATES

README = Path(__file__).resolve().parents[2] / "connectors" / "oneroster" / "README.md"
HEADING = "## What of the standard is read and written"
SAME = "the records come with"

# What the connector writes to, by verb. # connectors/oneroster/sink.py
WRITTEN: dict[str, tuple[str, ...]] = {
    "put": ("/categories/{id}", "/lineItems/{id}", "/results/{id}"),
    "delete": ("/categories/{id}", "/lineItems/{id}", "/results/{id}"),
    "post": ("/classes/{id}/lineItems", "/lineItems/{id}/results"),
}
SEARCHED = ("/classes/{id}/lineItems", "/classes/{id}/lineItems/{id}/results")
READ_BACK = ("/categories/{id}", "/lineItems/{id}", "/results/{id}")
"""Single records that are asked for, to see what the gradebook has of what was written."""

PARTS = {
    "schools": "orgs",
    "students": "users",
    "teachers": "users",
    "terms": "academicSessions",
    "gradingPeriods": "academicSessions",
}
"""Collections that are part of another."""

_ROSTER = f"academicSessions classes courses demographics enrollments orgs users {' '.join(PARTS)}"
_SCHOOL = "classes courses enrollments students teachers terms"
_SCHOOL_CLASS = "enrollments students teachers"
ENDPOINTS: dict[str, dict[str, dict[str, str]]] = {
    "rostering": {
        **{path: {"1.1": "get", "1.2": "get"} for name in _ROSTER.split() for path in (f"/{name}", f"/{name}/{{id}}")},
        **{
            path: {"1.1": "get", "1.2": "get"}
            for path in (
                "/classes/{id}/students",
                "/classes/{id}/teachers",
                "/courses/{id}/classes",
                *(f"/schools/{{id}}/{name}" for name in _SCHOOL.split()),
                *(f"/schools/{{id}}/classes/{{id}}/{name}" for name in _SCHOOL_CLASS.split()),
                "/students/{id}/classes",
                "/teachers/{id}/classes",
                "/terms/{id}/classes",
                "/terms/{id}/gradingPeriods",
                "/users/{id}/classes",
            )
        },
    },
    "gradebook": {
        **{
            path: {"1.1": verbs, "1.2": verbs}
            for name in ("categories", "lineItems", "results")
            for path, verbs in ((f"/{name}", "get"), (f"/{name}/{{id}}", "get put delete"))
        },
        **{
            path: {"1.2": verbs}
            for name in ("scoreScales", "assessmentLineItems", "assessmentResults")
            for path, verbs in ((f"/{name}", "get"), (f"/{name}/{{id}}", "get put delete"))
        },
        "/classes/{id}/academicSessions/{id}/results": {"1.2": "post"},
        "/classes/{id}/categories": {"1.2": "get"},
        "/classes/{id}/lineItems": {"1.1": "get", "1.2": "get post"},
        "/classes/{id}/lineItems/{id}/results": {"1.1": "get", "1.2": "get"},
        "/classes/{id}/results": {"1.1": "get", "1.2": "get"},
        "/classes/{id}/scoreScales": {"1.2": "get"},
        "/classes/{id}/students/{id}/results": {"1.1": "get", "1.2": "get"},
        "/lineItems/{id}/results": {"1.2": "post"},
        "/schools/{id}/lineItems": {"1.2": "post"},
        "/schools/{id}/scoreScales": {"1.2": "get"},
    },
    "resources": {
        "/resources": {"1.1": "get", "1.2": "get"},
        "/resources/{id}": {"1.1": "get", "1.2": "get"},
        "/classes/{id}/resources": {"1.1": "get", "1.2": "get"},
        "/courses/{id}/resources": {"1.1": "get", "1.2": "get"},
        "/users/{id}/resources": {"1.2": "get"},
    },
}
"""Service -> path -> version -> verbs; 1.1 has them all under one root. # OneRoster 1.1, 1.2"""

ONLY_IN_1_1 = {"users": ("role", "orgs"), "resources": ("role",)}
"""Fields that 1.1 has in place of 1.2's `roles`: they are read, and written as 1.2 has them."""
NOT_IN_1_1 = {
    "users": "userMasterIdentifier preferredFirstName preferredMiddleName preferredLastName pronouns roles userProfiles"
    " primaryOrg resources",
    "resources": "roles",
    "categories": "weight",
    "lineItems": "school academicSession scoreScale learningObjectiveSet",
    "results": "class scoreScale textScore learningObjectiveSet inProgress incomplete late missing",
}
"""Fields that 1.2 brought."""
NEW_MODELS = ("scoreScales", "assessmentLineItems", "assessmentResults")
"""Models that 1.2 brought."""


INTRODUCTION = """\
This section is made by `python -m tests.connectors.oneroster_coverage`, and a test holds it against the published
documents of the standard and against the connector.

Which collections are asked for is for the settings to say: those of the roster are, the gradebook of classes and the
resources where they are switched on. Nothing is written unless a destination is set up.

"""
OF_MODELS = """\
Every field that is read is written again where we write OneRoster (a provider, a CSV export). A record of 1.1 is read
by what it holds; it leaves as 1.2. Of every record, `sourcedId` is its key, `status` says whether it is gone,
`dateLastModified` becomes the time of publication here, and the `href` of a reference is our own."""


def table() -> str:
    """The README's section."""
    return "\n".join([HEADING, "", *INTRODUCTION.splitlines(), *_endpoints(), "", *_models(), ""])


def _endpoints() -> Iterator[str]:
    yield "### Endpoints"
    yield ""
    yield "| Service | Endpoint | 1.1 | 1.2 | What we do |"
    yield "|---|---|---|---|---|"
    for service, paths in ENDPOINTS.items():
        for path, versions in paths.items():
            verbs = [_verbs(versions.get(version, "")) for version in ("1.1", "1.2")]
            yield f"| {service} | `{path}` | {verbs[0]} | {verbs[1]} | {_deed(path, versions)} |"


def _verbs(verbs: str) -> str:
    return verbs.upper() or "-"


def _deed(path: str, versions: dict[str, str]) -> str:
    verbs = {verb for one in versions.values() for verb in one.split()}
    deeds = [_read(path)] if "get" in verbs else []
    for word, wanted in (("used", True), ("not used", False)):
        found = [verb.upper() for verb in WRITTEN if verb in verbs and (path in WRITTEN[verb]) == wanted]
        deeds += [f"{', '.join(found)}: {word}"] if found else []
    return "; ".join(deeds)


def _read(path: str) -> str:
    first, *_, last = [part for part in path.split("/") if part and part != "{id}"] * 2
    if path == f"/{first}" and first in FATES:
        return "read"
    if path in SEARCHED:
        return "looked through before a POST"
    if path in READ_BACK:
        return "read back after writing"
    whole = PARTS.get(last if not path.endswith("{id}") else first, last if not path.endswith("{id}") else first)
    return f"not asked: {SAME} `/{whole}`"


def _models() -> Iterator[str]:
    yield "### Models"
    yield ""
    yield from OF_MODELS.splitlines()
    yield ""
    yield "| Model (collection) | 1.1 | Read and written whole | Read in part | Not read | Never stored |"
    yield "|---|---|---|---|---|---|"
    for collection, fates in FATES.items():
        fields = {name: fate for name, fate in fates.items() if name not in ("sourcedId", "status", "dateLastModified")}
        columns = [
            ", ".join(f"`{name}`" for name, fate in fields.items() if fate.how == how) or "-"
            for how in ("kept", "partly", "unused", "dropped")
        ]
        yield f"| {collection} | {_in_1_1(collection)} | {' | '.join(columns)} |"
    yield ""
    yield "What *in part*, *not read* and *never stored* mean, field by field:"
    yield ""
    for why, places in _reasons().items():
        yield f"- {', '.join(places)}: {why}"


def _in_1_1(collection: str) -> str:
    if collection in NEW_MODELS:
        return "no"
    without = [f"`{name}`" for name in NOT_IN_1_1.get(collection, "").split()]
    instead = [f"`{name}`" for name in ONLY_IN_1_1.get(collection, ())]
    said = f"yes, without {', '.join(without)}" if without else "yes"
    return f"{said}; with {', '.join(instead)}" if instead else said


def _reasons() -> dict[str, list[str]]:
    """Reason -> the fields it holds for: a field alone where that is so wherever it stands."""
    found: dict[str, dict[str, list[str]]] = {}
    for collection, fates in FATES.items():
        for name, fate in fates.items():
            if fate.why and name != "dateLastModified":
                found.setdefault(fate.why, {}).setdefault(name, []).append(collection)
    return {why: [_places(name, where) for name, where in fields.items()] for why, fields in found.items()}


def _places(name: str, where: list[str]) -> str:
    everywhere = [collection for collection, fates in FATES.items() if name in fates]
    return f"`{name}`" if where == everywhere else f"`{name}` of {', '.join(where)}"


def with_table(text: str) -> str:
    """The README's text with the section as it should be, at its end if it is new."""
    section = re.compile(rf"^{re.escape(HEADING)}$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if section.search(text):
        return section.sub(lambda _: f"{table()}\n", text).rstrip("\n") + "\n"
    return f"{text.rstrip()}\n\n{table()}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
