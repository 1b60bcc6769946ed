"""Every model of the three OneRoster 1.2 services, there and back: what is lost is declared, and nothing else is."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from connectors.oneroster.models import RESOURCES, is_deleted
from gateway.errors import RecordError
from gateway.fold import Stated, fold
from gateway.mapping import Alias, Claim
from gateway.payload import edge
from gateway.schema import KINDS
from mappings.oneroster import MAPPING
from mappings.oneroster.losses import FATES, losses
from mappings.oneroster.outward import SHAPES, Outward, outward
from tests.mappings.oneroster_records import SCHEMAS, SERVICES, any_of, definitions, made, models, neighbours

pytestmark = pytest.mark.skipif(not SCHEMAS.exists(), reason="the OneRoster schemas are not beside this checkout")
CODES = MAPPING.codes()
PUBLISHED = datetime(2199, 1, 1, tzinfo=UTC)
COLLECTIONS = sorted(FATES)
KIND_OF = {shape.collection: kind for kind, shapes in SHAPES.items() for shape in shapes}
OURS = ("/href", "/userProfile")
ABSENT = object()  # null is something else


class Family:
    """What the relationships say: the contacts of the student; of all else nothing is known."""

    def __init__(self, contacts: Sequence[str]) -> None:
        self._contacts = contacts

    def href(self, collection: str, id: str) -> str:
        return f"https://planbridge.example.org/{collection}/{id}"

    def children(self, kind: str, id: str) -> Sequence[str]:
        return ()

    def contacts(self, student: str) -> Sequence[str]:
        return self._contacts

    def school(self, class_: str) -> str:
        return ""


def test_every_model_and_every_field_of_it_is_declared() -> None:
    by_service = [service for service, _ in models().values()]
    assert {service: by_service.count(service) for service in SERVICES} == SERVICES
    assert {
        collection: set(definitions(service)[model]["properties"]) for collection, (service, model) in models().items()
    } == {collection: set(fates) for collection, fates in FATES.items()}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_what_is_dropped_is_what_the_connector_drops(collection: str) -> None:
    resource = RESOURCES[collection]
    dropped = {path for path in resource.drop if path.isalpha()} | set(resource.closed)
    assert {name for name, fate in FATES[collection].items() if fate.how == "dropped"} == dropped


@pytest.mark.parametrize("full", [True, False], ids=["full", "bare"])
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_record_comes_back(collection: str, full: bool) -> None:
    record = made(*models()[collection], full=full)
    declared = check(collection, record)
    # Not a comparison that nothing passes through: what is kept did come back.
    kept = {name for name, fate in FATES[collection].items() if fate.how in ("kept", "partly")} - {"dateLastModified"}
    if collection != "demographics" or full:
        assert not {f"/{name}" for name in kept & record.keys()} & declared - {"/agents", "/metadata"}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_whatever_is_changed_in_a_record_is_declared(collection: str) -> None:
    model = models()[collection]
    tried = [check(collection, record) for record in neighbours(*model, made(*model, full=True))]
    assert len(tried) > 5


@pytest.mark.parametrize("collection", COLLECTIONS)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_record_comes_back_but_for_what_is_declared(collection: str, data: st.DataObject) -> None:
    check(collection, data.draw(any_of(*models()[collection])))


def check(collection: str, record: Any) -> set[str]:
    """Send a record there and back, and hold what changed against what is declared; returns that."""
    declared = {loss.pointer for loss in losses(collection, record, CODES)}
    try:
        back = there_and_back(collection, record)
    except RecordError as error:
        assert any(error.field in pointer.split("/") for pointer in declared), (error.field, declared)
        return declared
    except msgspec.ValidationError:
        assert not record["sourcedId"] and "/sourcedId" in declared
        return declared
    row = next((row for name, row in back.rows if name == collection), None)
    changed = {""} if row is None else set(differences(record, row))
    assert changed == declared
    if row is not None and not any(gap.collection == collection and not gap.filled for gap in back.gaps):
        service, model = models()[collection]
        schema = {"$ref": f"#/$defs/{model}", "$defs": definitions(service)}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(row)] == []
    return declared


def there_and_back(collection: str, record: Any) -> Outward:
    resource = RESOURCES[collection]
    kept, _ = edge(resource, "")(json.dumps(record).encode())
    decoded: Any = msgspec.json.decode(kept, type=resource.wire)
    if is_deleted(decoded):
        return Outward([], [], [])
    stated = list(MAPPING.inbound[resource.wire](decoded, CODES.fresh()))
    claims = [one for one in stated if isinstance(one, Claim)]
    assert not any(isinstance(one, Alias) for one in stated)
    kind = KIND_OF[collection]
    contacts = [claim.values.contact for claim in claims if claim.kind == "relationship"]  # type: ignore[attr-defined]
    folded = fold(
        KINDS[kind],
        [
            Stated(1, collection, claim.key, claim.rank, True, msgspec.to_builtins(claim.values))
            for claim in claims
            if claim.kind == kind and claim.key == decoded.sourcedId
        ],
    )
    return outward(kind, decoded.sourcedId, folded.doc, PUBLISHED, Family(contacts), CODES)


def differences(record: Any, row: Any) -> Iterator[str]:
    """The fields that changed; of a reference that still leads to the same record, only its address."""
    for name in record.keys() | row.keys():
        leaves = list(_leaves(record.get(name, ABSENT), row.get(name, ABSENT)))
        if leaves and all(leaf.endswith(OURS) for leaf in leaves):
            yield from (f"/{name}{leaf}" for leaf in leaves)
        elif leaves:
            yield f"/{name}"


def _leaves(before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() | after.keys():
            yield from (f"/{name}{leaf}" for leaf in _leaves(before.get(name, ABSENT), after.get(name, ABSENT)))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for n, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from (f"/{n}{leaf}" for leaf in _leaves(one, other))
    elif before != after:
        yield ""
