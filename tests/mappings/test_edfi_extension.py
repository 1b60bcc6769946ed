"""The extension of docs/edfi-extension is exactly what is written into it, and nothing of a plan is lost on the way
there in silence."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from connectors.edfi.twin import ssp
from connectors.edfi.twin.shapes import Fields
from gateway.schema import codes
from gateway.schema.plan import Plan
from mappings.edfi import MAPPING
from mappings.edfi.extension_names import FIELDS, KEYS, SSP, ExtensionMap
from mappings.edfi.outbound import EdfiProfile
from tests.mappings.test_edfi_outbound import ANOTHER, changed, full, is_bookkeeping, leaves, sent

FOLDER = Path(__file__).parents[2] / "docs/edfi-extension/SSP"
WORDS: dict[str, Any] = {"include_goal_statements": True, "include_reviews": True, "include_team": True}
ADDRESS = {"plan_address": "https://plans.example.org/{plan}"}
HELD: dict[str, Any] = {
    "next_review_on": "2026-10-28",
    "tier": "universal",
    "lifecycle": "completed",
    "achievement": "achieved",
    "status": "on_hold",
    "frequency": 4,
    "frequency_interval": "month",
    "measure": "planted: other",
    "comparator": "at_most",
    "value": 3,
    "unit": "planted: other",
    "due_on": "2027-02-02",
    "on": "2026-08-22",
    "held_on": "2026-08-30",
    "mode": "phone",
    "role": "counselor",
    "coordinator": None,
    "domain": "behavior",
    "goals": ["goal-2"],
}
"""What only the extension holds: another value of it must make another document."""


# --- the MetaEd project ----------------------------------------------------------------------------------------

Property = tuple[str, str, str, int]
"""How it is declared: kind, name, whether it is required, and how long it may be."""


def declared() -> dict[str, list[Property]]:
    """Every entity, common and descriptor of the project with its properties. What is not understood fails."""
    found: dict[str, list[Property]] = {}
    for path in sorted(FOLDER.rglob("*.metaed")):
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        kind, _, name = first.rpartition(" ")
        assert kind in ("Domain Entity", "Common", "Descriptor") and path.stem == name
        assert path.parent.name == kind.replace(" ", "")
        assert lines[0].strip().startswith('documentation "'), path
        properties: list[Property] = []
        for line in lines[1:]:
            words = line.strip()
            if line.startswith(" " * 8):
                kind, name, how, limit = properties[-1]
                if words.startswith("is "):
                    properties[-1] = (kind, name, words, limit)
                elif words.startswith("max length "):
                    properties[-1] = (kind, name, how, int(words.rpartition(" ")[2]))
                else:
                    assert words.startswith(("documentation ", "min value ")), words
            else:
                kind, _, name = words.rpartition(" ")
                assert kind in ("string", "date", "integer", "descriptor", "common", "domain entity", "association")
                properties.append((kind, name, "", 0))
        assert all(how for _, _, how, _ in properties), path
        found[path.stem] = properties
    return found


def served(entity: str, known: Mapping[str, list[Property]], *, key: bool = False) -> Iterator[tuple[str, int]]:
    """(path in the JSON of the API, limit) of an entity; with `key` only of what identifies it, as a reference does."""
    for kind, name, how, limit in known[entity]:
        if key and how != "is part of identity":
            continue
        camel = f"{name[0].lower()}{name[1:]}" if "." not in name else name.partition(".")[2]
        camel = f"{camel[0].lower()}{camel[1:]}"
        before = f"{camel}s." if how.endswith("collection") else ""
        if kind == "common":
            yield from ((f"{before}{path}", most) for path, most in served(name, known))
        elif kind in ("domain entity", "association"):
            parts = dict(served(name, known, key=True)) if name in known else dict.fromkeys(CORE[name], 0)
            flat = [path.rpartition(".")[2] for path in parts]
            yield from ((part, 0) if key else (f"{before}{camel}Reference.{part}", 0) for part in flat)
        elif kind == "descriptor":
            yield f"{before}{camel}Descriptor", 0
        else:
            yield f"{before}{camel}", limit


CORE = {
    "EdFi.Student": ["studentUniqueId"],
    "EdFi.Staff": ["staffUniqueId"],
    "EdFi.EducationOrganization": ["educationOrganizationId"],
    "EdFi.Intervention": ["educationOrganizationId", "interventionIdentificationCode"],
    "EdFi.StudentProgramAssociation": [
        "beginDate",
        "educationOrganizationId",
        "programEducationOrganizationId",
        "programName",
        "programTypeDescriptor",
        "studentUniqueId",
    ],
}
WHOLE = ("studentProgramAssociationReference", "interventionReference")


def test_the_extension_has_what_is_written_and_nothing_else() -> None:
    known = declared()
    project = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["metaEdProject"]
    assert project["projectName"] == "SSP" and set(ENTITIES.values()) < set(known)
    for kind, entity in ENTITIES.items():
        there = {
            path.partition(".")[0] if path.startswith(WHOLE) else path: limit for path, limit in served(entity, known)
        }
        # A text in a reference is as long as it is where it belongs.
        ours = {path: 0 if "Reference." in path else limit for path, limit in FIELDS[kind].items()}
        assert there == ours, kind
        identity = {path.rpartition(".")[2] for path, _ in served(entity, known, key=True)}
        assert identity == {path.rpartition(".")[2] for path in KEYS[kind]}, kind


def test_every_field_of_the_extension_is_written_by_somebody() -> None:
    over = full()
    for support in over["supports"]:
        support["status"] = "completed"
    profile = EdfiProfile.model_validate({"extension": "ssp", **WORDS, **ADDRESS})
    written: dict[str, set[str]] = {}
    for content in (full(), over):
        for one in sent(content, profile)[0]:
            paths = {re_indexed(pointer) for pointer, _ in leaves(one.body)}
            written.setdefault(one.resource, set()).update(
                path.partition(".")[0] if path.startswith(WHOLE) else path for path in paths
            )
    assert {resource: paths for resource, paths in written.items() if "/" in resource} == {
        SSP[kind]: set(FIELDS[kind]) for kind in SSP
    }


def re_indexed(pointer: str) -> str:
    return ".".join(part for part in pointer.strip("/").split("/") if not part.isdecimal())


@pytest.mark.parametrize("standard", ["3.3", "6.0"])
def test_the_twin_serves_the_extension_as_it_is_defined(standard: str) -> None:
    known, twin = declared(), ssp(standard)
    for kind, entity in ENTITIES.items():
        shape = twin.shapes[SSP[kind].partition("/")[2]]
        assert shape.rel == entity
        found = {path: 0 if "Reference." in path else limit for path, limit in flattened(shape.fields)}
        assert found == dict(served(entity, known))
        assert {path.rpartition(".")[2] for path in shape.key} == {
            path.rpartition(".")[2] for path, _ in served(entity, known, key=True)
        }
        required = {name for name, field in shape.fields.items() if field.required}
        named = {re_named(name, kind_) for kind_, name, how, _ in known[entity] if how in NEEDED}
        assert required == named
    assert set(twin.codes) == {name for name, properties in known.items() if not properties}


NEEDED = ("is required", "is part of identity")
ENTITIES = {
    "plan": "StudentSuccessPlan",
    "goal": "StudentSuccessPlanGoal",
    "observation": "StudentSuccessPlanGoalObservation",
    "support": "StudentSuccessPlanSupport",
}


def re_named(name: str, kind: str) -> str:
    bare = name.rpartition(".")[2]
    end = {"domain entity": "Reference", "association": "Reference", "descriptor": "Descriptor"}.get(kind, "")
    return f"{bare[0].lower()}{bare[1:]}{end}"


def flattened(fields: Fields, before: str = "") -> Iterator[tuple[str, int]]:
    for name, field in fields.items():
        if field.fields:
            yield from flattened(field.fields, f"{before}{name}.")
        else:
            yield f"{before}{name}", field.limit if field.kind == "text" else 0


def test_the_descriptors_to_be_loaded_are_those_that_are_sent() -> None:
    with (FOLDER.parent / "descriptors.csv").open(newline="", encoding="utf-8") as lines:
        listed = {(row["namespace"], row["codeValue"]) for row in csv.DictReader(lines)}
    tables = {name: table for name, table in MAPPING.codes().tables.items() if name.startswith("out_ssp_")}
    sent_ = {row.target for table in tables.values() for row in table.values() if row.target}
    assert {f"{namespace}#{code}" for namespace, code in listed} == sent_
    served_ = {f"{namespace}#{code}" for _, namespace, code in ssp("5.0").values()}
    assert served_ == sent_
    words = {"goal_area": codes.Domain, "goal_status": codes.Lifecycle, "achievement": codes.Achievement}
    words |= {"support_status": codes.SupportStatus, "interval": codes.Interval, "team_role": codes.TeamRole}
    words |= {"review_method": codes.Mode, "tier": codes.Tier}
    for name, literal in words.items():
        assert set(tables[f"out_ssp_{name}"]) == set(get_args(literal)), name


def test_the_page_for_hosts_names_every_field_and_its_map_is_one() -> None:
    page = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    for kind, fields in FIELDS.items():
        listed = page.partition(f"- **{kind}**: ")[2].partition("\n- **")[0].partition("\n\n")[0]
        names = [f"`{name}`{f' ({limit})' if limit else ''}" for name, limit in fields.items()]
        assert " ".join(listed.split()) == ", ".join(names), kind
    example = re.search(r"^    \{$.*?^    \}$", page, re.MULTILINE | re.DOTALL)
    assert example and ExtensionMap.model_validate(json.loads(example[0])).goal


# --- nothing lost in silence ---------------------------------------------------------------------------------


@pytest.mark.parametrize("on", list(product([False, True], repeat=3)), ids=str)
def test_what_is_stated_is_sent_to_core_or_extension_or_reported(on: tuple[bool, ...]) -> None:
    profile = EdfiProfile.model_validate({"extension": "ssp", **dict(zip(WORDS, on, strict=True))})
    content = json.loads(Plan.model_validate(full()).model_dump_json())
    documents, losses = sent(content, profile)
    lost = [loss.pointer for loss in losses]
    assert len(set(lost)) == len(lost)
    here = {pointer for pointer, _ in leaves(content) if not is_bookkeeping(pointer)}
    for pointer in lost:
        assert any(leaf == pointer or leaf.startswith(f"{pointer}/") for leaf in here), f"{pointer} is not stated"
    reported = {leaf for leaf in here for pointer in lost if leaf == pointer or leaf.startswith(f"{pointer}/")}
    for leaf in here - reported:
        leaf = leaf.removesuffix("/0")
        other = changed(content, leaf, (ANOTHER | HELD)[leaf.rpartition("/")[2]])
        assert sent(other, profile)[0] != documents, f"{leaf} is neither sent nor reported"
    planted = "planted" in json.dumps([one.body for one in documents])
    assert planted is profile.include_goal_statements
    assert not [one for one in documents if "planted" in json.dumps(one.key)]


def test_words_that_are_too_long_or_too_private_stay() -> None:
    profile = EdfiProfile.model_validate({"extension": "ssp", **WORDS})
    content = changed(full(), "/goals/0/statement", "planted " * 200)
    content = changed(content, "/goals/1/domain", "accessibility")
    documents, losses = sent(content, profile)
    first, second = (one.body for one in documents if one.resource == SSP["goal"])
    assert "goalStatement" not in first and first["baselineMeasure"] == "planted: words"
    assert "goalStatement" not in second and "goalAreaDescriptor" not in second
    kinds = {loss.pointer: (loss.kind, loss.reason) for loss in losses}
    assert kinds["/goals/0/statement"] == ("cannot", "It is longer than 1024 characters, and is never cut.")
    assert kinds["/goals/1/statement"][0] == "withheld"


def test_what_was_an_error_and_what_was_rejected_stays() -> None:
    content = changed(full(), "/goals/0/lifecycle", "rejected")
    documents, losses = sent(content, EdfiProfile(extension="ssp"))
    [goal] = [one.body["goalIdentifier"] for one in documents if one.resource == SSP["goal"]]
    assert goal == "goal-2"
    kinds = {loss.pointer: loss.kind for loss in losses}
    assert (kinds["/goals/0"], kinds["/supports/0/goals/0"]) == ("withheld", "cannot")


KEY = {name.partition(".")[0]: name.partition(".")[0] for name in KEYS["plan"]}


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"resource": "ed-fi/studentProgramAssociations", "fields": KEY}, "the core"),
        ({"resource": "mrd", "fields": KEY}, "pattern"),
        ({"resource": "mrd/plans", "fields": {}}, "they are its key"),
        ({"resource": "mrd/plans", "fields": {**KEY, "planTitle": "title"}}, "plan has no planTitle"),
        ({"resource": "mrd/plans", "fields": {**KEY, "planEndDate": "closed"}}, "ends in EndDate"),
    ],
)
def test_a_map_that_cannot_work_is_refused(plan: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ExtensionMap.model_validate({"plan": plan})
    with pytest.raises(ValidationError, match="set it too"):
        EdfiProfile(extension="map")
    with pytest.raises(ValidationError, match="not JSON"):
        EdfiProfile.model_validate({"extension_map": "{"})
