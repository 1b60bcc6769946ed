"""Every golden case of every mapping (wire in, claims out), and every sample of every connector.

A case is a file mappings/<name>/cases/*.json:
    wire      name of the wire type
    input     the record as the system sends it
    claims    what it states, defaults left out; an alias has same_as instead of values
    error     instead of claims: code and field of the RecordError that sets the record aside
    unmapped  [table, code] of each code that no crosswalk knows, as often as it was met
    notices   [code, field] of what is read although the standard does not allow it

A sample is a file connectors/<name>/samples/<collection>.json: a page body as the system sends it, with the word
"planted" in what must not be kept. Other samples (a discovery document) are left to the connector's own tests.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import registry
from gateway.connector import Resource
from gateway.errors import RecordError
from gateway.mapping import Alias, Crosswalks, Mapping, Statement
from gateway.payload import edge
from gateway.schema import KINDS

ROOT = Path(__file__).parents[2]
CASES = sorted(ROOT.glob("mappings/*/cases/*.json"))
MAPPED = sorted(path.parent.name for path in ROOT.glob("mappings/*/crosswalks"))
SAMPLES = [
    path
    for folder in MAPPED
    for resource in registry.connector(folder).resources
    for path in ROOT.glob(f"connectors/{folder}/samples/{resource.name}.json")
]


def name(path: Path) -> str:
    return f"{path.parents[1].name}/{path.stem}"


def wires(mapping: Mapping) -> dict[str, type]:
    return {wire.__name__: wire for wire in mapping.inbound}


@pytest.mark.parametrize("path", CASES, ids=name)
def test_a_case_states_what_it_says(path: Path) -> None:
    mapping = registry.mapping(path.parents[1].name)
    case = json.loads(path.read_text(encoding="utf-8"))
    assert set(case) <= {"wire", "input", "claims", "error", "unmapped", "notices"}
    assert ("claims" in case) != ("error" in case)
    codes = mapping.codes()
    wire = wires(mapping)[case["wire"]]
    stated: dict[str, Any] = {}
    try:
        record: Any = msgspec.json.decode(json.dumps(case["input"]), type=wire)
        stated["claims"] = [shown(one) for one in mapping.inbound[wire](record, codes)]
    except RecordError as error:
        stated["error"] = {"code": error.code, "field": error.field}
    unmapped = Counter(tuple(code) for code in case.get("unmapped", []))
    assert stated == {key: case[key] for key in ("claims", "error") if key in case}
    assert codes.unmapped == unmapped
    assert [list(noticed) for noticed in codes.noticed] == case.get("notices", [])


@pytest.mark.parametrize("folder", MAPPED)
def test_every_wire_type_has_a_case_and_every_collection_a_mapping(folder: str) -> None:
    mapping, connector = registry.mapping(folder), registry.connector(folder)
    tried = {json.loads(path.read_text("utf-8"))["wire"] for path in CASES if path.parents[1].name == folder}
    assert tried == set(wires(mapping))
    assert {resource.wire for resource in connector.resources} <= set(mapping.inbound)


@pytest.mark.parametrize("folder", MAPPED)
def test_crosswalks_name_each_code_once(folder: str) -> None:
    codes = registry.mapping(folder).codes()
    for table, rows in codes.tables.items():
        lines = (ROOT / "mappings" / folder / "crosswalks" / f"{table}.csv").read_text("utf-8").splitlines()
        assert len(rows) == len(lines) - 1, f"{table}.csv has a source twice"


@pytest.mark.parametrize("path", SAMPLES, ids=name)
def test_a_sample_decodes_and_maps_and_loses_what_must_not_be_kept(path: Path) -> None:
    body = json.loads(path.read_text(encoding="utf-8"))
    folder = path.parents[1].name
    resource = next(one for one in registry.connector(folder).resources if one.name == path.stem)
    rows = body[path.stem] if isinstance(body, dict) else body
    assert rows
    mapping = registry.mapping(folder)
    codes = mapping.codes()
    for row in rows:
        assert statements(resource, mapping, codes, row)
        kept, _ = edge(resource, "")(json.dumps(row).encode())
        assert b"planted" not in kept


def statements(resource: Resource, mapping: Mapping, codes: Crosswalks, row: Any) -> list[Statement]:
    record: Any = msgspec.json.decode(json.dumps(row), type=resource.wire)
    assert resource.key(record)
    return list(mapping.inbound[resource.wire](record, codes))


def shown(statement: Statement) -> dict[str, Any]:
    """A statement as a case writes it, after a check that the common schema accepts it."""
    as_json: dict[str, Any] = json.loads(msgspec.json.encode(statement))
    if isinstance(statement, Alias):
        return as_json
    kind = KINDS[statement.kind]
    assert type(statement.values) is kind.values
    assert msgspec.convert(as_json["values"], type=kind.values, strict=True) == statement.values
    return dict(left_out(as_json))


def left_out(claim: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A claim without its defaults."""
    for key, value in claim.items():
        if (key, value) not in (("anchor", True), ("rank", 0)):
            yield key, value
