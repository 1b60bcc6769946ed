"""The README's table of the standard is complete, says what is so, and is the one that is generated."""

import re
from typing import Any

import msgspec
import pytest

from connectors.oneroster.models import RESOURCES
from mappings.oneroster.losses import FATES
from tests.connectors.oneroster_coverage import (
    ENDPOINTS,
    NEW_MODELS,
    NOT_IN_1_1,
    ONLY_IN_1_1,
    README,
    WRITTEN,
    with_table,
)
from tests.openapi import CONTRACTS, document

DOCUMENTS = {
    "rostering": "oneroster/openapi/v1p2/onerosterv1p2rostersservice_openapi3_v1p0.yaml",
    "gradebook": "oneroster/openapi/v1p2/onerosterv1p2gradebookservice_openapi3_v1p0.yaml",
    "resources": "oneroster/openapi/v1p2/onerosterv1p2resourcesservice_openapi3_v1p0.yaml",
}
OLD = "oneroster/openapi/v1p1/oneroster_v1p1_openapi3.json"
published = pytest.mark.skipif(not CONTRACTS.exists(), reason="the published documents are not beside this checkout")


def test_the_table_is_as_it_is_generated() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == with_table(text), "run: PYTHONPATH=. python -m tests.connectors.oneroster_coverage"


@published
@pytest.mark.parametrize("service", DOCUMENTS)
def test_every_endpoint_of_1_2_is_listed(service: str) -> None:
    listed = {path: set(verbs["1.2"].split()) for path, verbs in ENDPOINTS[service].items() if "1.2" in verbs}
    assert listed == operations(document(DOCUMENTS[service]))


@published
def test_every_endpoint_of_1_1_is_listed() -> None:
    listed = {
        path: set(verbs["1.1"].split())
        for paths in ENDPOINTS.values()
        for path, verbs in paths.items()
        if "1.1" in verbs
    }
    assert listed == operations(document(OLD))


def operations(found: dict[str, Any]) -> dict[str, set[str]]:
    return {
        re.sub(r"\{[^}]*\}", "{id}", path): {verb for verb in verbs if verb in ("get", "put", "post", "delete")}
        for path, verbs in found["paths"].items()
    }


@published
@pytest.mark.parametrize("collection", FATES)
def test_what_1_1_has_of_a_model_is_what_is_listed(collection: str) -> None:
    """That 1.2's fields are all declared is tested where its models go there and back."""
    schemas = document(OLD)["components"]["schemas"]
    envelopes = [one["properties"] for one in schemas.values() if set(one.get("properties", ())) == {collection}]
    models = [one[collection]["items"]["$ref"] for one in envelopes if one[collection].get("type") == "array"]
    instead = set(ONLY_IN_1_1.get(collection, ()))
    expected = (set(FATES[collection]) - set(NOT_IN_1_1.get(collection, "").split())) | instead
    assert [fields_of(schemas, model) for model in models] == ([] if collection in NEW_MODELS else [expected])
    assert instead <= {field.name for field in msgspec.structs.fields(RESOURCES[collection].wire)}


def fields_of(schemas: dict[str, Any], reference: str) -> set[str]:
    schema = schemas[reference.rpartition("/")[2]]
    of_parts = (fields_of(schemas, part["$ref"]) for part in schema.get("allOf", ()) if "$ref" in part)
    own = (set(part.get("properties", ())) for part in (schema, *schema.get("allOf", ())))
    return set().union(*of_parts, *own)


def test_what_is_written_is_in_the_standard() -> None:
    assert {
        (verb, path)
        for verb, paths in WRITTEN.items()
        for path in paths
        if verb not in ENDPOINTS["gradebook"][path]["1.2"].split()
    } == set()
