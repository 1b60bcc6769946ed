"""Which collection and field of each Ed-Fi data standard is read and written: the table in the connector's README.

`PYTHONPATH=. python -m tests.connectors.edfi_coverage` writes the table anew.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from connectors.edfi.resources import resources
from connectors.edfi.sink import TEAM, WRITTEN
from gateway.schema.plan import Plan
from mappings.edfi import MAPPING
from mappings.edfi.outbound import EdfiProfile, outbound
from tests.mappings.test_edfi_outbound import PARTIES, WIDEST, full
from tests.openapi import document, resolved

README = Path(__file__).resolve().parents[2] / "connectors" / "edfi" / "README.md"
HEADING = "## What of each data standard is read and written"
STANDARDS = {"3.3": 3, "4.0": 4, "5.0": 5, "6.0": 6}
"""Published document -> major version. 5.1 and 5.2 only add to 5.0."""

NOT_READ = {
    "staffDemographics": "origin, sex, languages and citizenship of staff are never kept, wherever they stand",
    "contactIdentificationCodes": "a family contact is known by its contactUniqueId alone",
    "educationOrganizationIdentificationCodes": "an organization is known by its education organization id alone",
}
"""What 6.0 took out of collections that are read, and nothing of it is wanted."""

INTRODUCTION = """\
This section is made by `python -m tests.connectors.edfi_coverage` from the connector and the published OpenAPI
documents, and a test holds it against both. 5.1 and 5.2 only add to 5.0. A reference stands for the whole key of what
it names. What is neither named here nor among the fields that are never kept stays in the payload, also of an extension
or under an API profile, and an override can read it:
`planbridge overrides set sis students person.username _ext.larkspur.portalName`.
"""


def table() -> str:
    """The README's section."""
    return "\n".join([HEADING, "", *INTRODUCTION.splitlines(), *_read(), "", *_not_read(), "", *_written(), ""])


def _read() -> Iterator[str]:
    yield "### Read"
    yield ""
    yield from _head("Fields that are read")
    for name in dict.fromkeys(resource.name for number in STANDARDS.values() for resource in resources(number)):
        yield _line(name, {standard: _fields_read(standard, name) for standard in STANDARDS})


def _not_read() -> Iterator[str]:
    yield "Of what 6.0 made collections of their own, these are not asked for:"
    yield ""
    for name, why in NOT_READ.items():
        yield f"- `{name}`: {why}."


def _written() -> Iterator[str]:
    yield "### Written"
    yield ""
    yield from _head("Fields that are written, with everything switched on")
    bodies = written()
    for name in dict.fromkeys([*WRITTEN, *TEAM, *bodies]):
        yield _line(name, {standard: _fields_written(standard, name, bodies.get(name, ())) for standard in STANDARDS})


def _head(fields: str) -> Iterator[str]:
    yield f"| Collection | {' | '.join(STANDARDS)} | {fields} |"
    yield f"|---|{'---|' * len(STANDARDS)}---|"


def _line(name: str, by_standard: Mapping[str, Sequence[str]]) -> str:
    """First the fields that every standard with this collection has, then those of some of them."""
    there = tuple(standard for standard, fields in by_standard.items() if fields)
    marks = ["yes" if standard in there else "-" for standard in by_standard]
    groups: dict[tuple[str, ...], list[str]] = {there: []}
    for field in dict.fromkeys(field for fields in by_standard.values() for field in fields):
        groups.setdefault(tuple(one for one in there if field in by_standard[one]), []).append(f"`{field}`")
    shown = [
        ("" if having == there else f"only {', '.join(having)}: ") + ", ".join(fields)
        for having, fields in groups.items()
        if fields
    ]
    return f"| {name} | {' | '.join(marks)} | {'; '.join(shown)} |"


def _to_reference(path: str) -> str:
    """A reference stands for the whole key of what it names."""
    return re.sub(r"(Reference)\..*", r"\1", path)


def _fields_read(standard: str, name: str) -> list[str]:
    """What of a collection is decoded for the mapping, as far as the standard has it."""
    found = [resource for resource in resources(STANDARDS[standard]) if resource.name == name]
    if not found or not served(standard, name):
        return []
    assert found[0].wire in MAPPING.inbound
    return [_to_reference(path) for path in _paths(found[0].wire) if exists(standard, name, path)]


def _fields_written(standard: str, name: str, paths: Sequence[str]) -> list[str]:
    return [_to_reference(path) for path in paths if exists(standard, name, path)]


def _paths(wire: type, before: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(wire):
        inner = list(_structs(field.type))
        if inner and field.name != "link":
            for struct in inner:
                yield from _paths(struct, f"{before}{field.encode_name}.")
        elif field.name != "link":
            yield before + field.encode_name


def _structs(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for part in getattr(hint, "__args__", ()):
        yield from _structs(part)


@cache
def written() -> dict[str, list[str]]:
    """Resource -> every path in the bodies of a plan that has everything, sent with everything switched on: while it
    runs and once it is over, to a server with parents and to one with contacts."""
    switches = {name: True for name in EdfiProfile.model_fields if name.startswith("include_")}
    profile = WIDEST.model_copy(update=switches)
    running, over = full(), full()
    for support in over["supports"]:
        support["status"] = "completed"
    found: dict[str, list[str]] = {}
    for content, people in product((running, over), ("parents", "contacts")):
        parties = replace(PARTIES, **({"collections": frozenset({people})} if hasattr(PARTIES, "collections") else {}))
        documents, _ = outbound(Plan.model_validate(content), parties, profile, MAPPING.codes())
        for each in documents:
            known = found.setdefault(each.resource, [])
            known += [path for path in dict.fromkeys(_leaves(each.body)) if path not in known]
    return found


def _leaves(value: Any, before: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{before}.{name}" if before else name)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, before)
    else:
        yield before


def served(standard: str, name: str) -> bool:
    return f"/ed-fi/{name}" in document(f"edfi-openapi/resources-ds-{standard}.yaml")["paths"]


def exists(standard: str, name: str, path: str) -> bool:
    """Whether records of a collection have that path in that standard."""
    if not served(standard, name):
        return False
    found = document(f"edfi-openapi/resources-ds-{standard}.yaml")
    answer = found["paths"][f"/ed-fi/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    schema = resolved(found, answer["items"])
    for step in path.split("."):
        if step not in schema.get("properties", ()):
            return False
        schema = resolved(found, schema["properties"][step])
        schema = resolved(found, schema.get("items", schema))
    return True


def with_table(text: str) -> str:
    """The README's text with the section as it should be, at its end if it is new."""
    section = re.compile(rf"^{re.escape(HEADING)}$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if section.search(text):
        return section.sub(lambda _: f"{table()}\n", text).rstrip("\n") + "\n"
    return f"{text.rstrip()}\n\n{table()}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
