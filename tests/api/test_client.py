"""Clients that are generated from the OpenAPI document: nothing of it gets lost, and one of them is used."""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients import generate
from gateway import api
from gateway.settings import Settings
from gateway.store.database import Store
from tests.api.conftest import Bearer
from tests.api.world import World, content

DOCUMENT = api.assembled(Settings()).openapi()
OPERATIONS = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


def test_every_schema_and_every_operation_has_a_name_of_its_own() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {name: schema["title"] for name, schema in schemas.items()} == {name: name for name in schemas}
    assert [name for name in schemas if not re.fullmatch(r"[A-Z]\w+", name)] == []
    assert len({name.lower() for name in schemas}) == len(schemas)
    assert [name for name, n in Counter(one["operationId"] for one in OPERATIONS).items() if n > 1] == []


def test_every_reference_leads_to_a_schema() -> None:
    named = set(re.findall(r"#/components/schemas/([^'\"]+)", str(DOCUMENT)))
    assert named <= set(DOCUMENT["components"]["schemas"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    program = generate.generator()
    if program is None:
        pytest.skip(f"{generate.NAME} is not here (make client installs it): no client is generated and used")
    made = tmp_path_factory.mktemp("client") / "python"
    said = generate.generate(program, made)
    assert "WARNING" not in said and "removal" not in said, said
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))


def test_the_generated_client_has_every_operation(folder: Path) -> None:
    written = [path.stem for path in (folder / "planbridge_client/api").glob("*/*.py") if path.stem != "__init__"]
    assert len(written) == len(OPERATIONS) > 60


async def test_the_generated_client_writes_a_plan(
    folder: Path, store: Store, world: World, http: httpx.AsyncClient, bearer: Bearer
) -> None:
    from planbridge_client import AuthenticatedClient  # type: ignore[import-not-found]
    from planbridge_client.api.plans import create_plan, one_plan, take_plan_step  # type: ignore[import-not-found]
    from planbridge_client.models import Plan, Problem, TakePlanStepStep  # type: ignore[import-not-found]

    scopes = ("students.read", "plans.read", "plan.write")
    for person in (world.teacher, None):
        header = await bearer(world.district, *scopes, person=person, sections=("identity", "academic", "goals"))
        token = header["Authorization"].removeprefix("Bearer ")
        async with AuthenticatedClient(base_url=str(http.base_url), token=token, verify_ssl=False) as client:
            made = await create_plan.asyncio(client=client, body=Plan.from_dict(content(world)))
            if person is None:
                assert isinstance(made, Problem) and (made.status, made.code) == (403, "author-missing")
                continue
            assert (await one_plan.asyncio(made.id, client=client)).student == world.student
            asked = await take_plan_step.asyncio(made.id, TakePlanStepStep.FINALIZE, client=client, dry_run=True)
            assert made.state == "draft" and not asked.possible
            assert "/consultations" in [place for guard in asked.guards for place in guard.missing]
