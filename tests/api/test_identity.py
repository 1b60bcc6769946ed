"""Who is who, asked and said by a program: ids and codes, in and out."""

from pathlib import Path

import httpx
import pytest

from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer
from tests.identity.rosters import ADA, BEN, FILLERS, again, connected, denoted

SECRETS = ("Ada", "Larksmith", "2014-03-01", "0001", "k-ada", "v-ada")


@pytest.fixture
async def mine(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor, bearer: Bearer, tmp_path: Path
) -> httpx.AsyncClient:
    """A caller in a district where a vendor has lost the zeros of Ada's number."""
    sis = await connected(store, district, "sis", tmp_path, actor)
    vendor = await connected(store, district, "vendor", tmp_path, actor)
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(again(ADA, number="1"))
    http.headers.update(await bearer(district))
    return http


async def test_the_queue_tells_no_name_and_a_decision_is_taken_and_undone(
    mine: httpx.AsyncClient, store: Store, district: int
) -> None:
    answer = await mine.get("/v1/identity/queue")
    assert [secret for secret in SECRETS if secret in answer.text] == []
    ada = (await denoted(store, district))["sis", "k-ada"]
    [case] = answer.json()["cases"]
    assert answer.json()["waiting"] == {"unmatched": 1}
    assert [(one["person"], one["strength"]) for one in case["candidates"]] == [(ada, "strong")]

    said = {"act": "same", "case": case["case"], "person": ada, "reason": "Asked the school."}
    done = await mine.post("/v1/identity/decisions", json=said)
    assert done.status_code == 201
    assert (await denoted(store, district))["vendor", "v-ada"] == ada
    assert (await mine.get("/v1/identity/queue")).json()["cases"] == []

    back = {"act": "undo", "decision": done.json()["decision"], "reason": "Asked again."}
    assert (await mine.post("/v1/identity/decisions", json=back)).status_code == 201
    assert (await mine.post("/v1/identity/decisions", json=back)).json()["code"] == "decision-undone"
    no = said | {"act": "different"}
    assert (await mine.post("/v1/identity/decisions", json=no)).json()["run"] is None
    assert (await mine.get("/v1/identity/queue")).json()["cases"][0]["candidates"] == []


@pytest.mark.parametrize(
    "said", [{"act": "guess"}, {"act": "same", "person": "x" * 40}, {"act": "undo", "decision": 0}, {}]
)
async def test_what_is_no_decision_is_refused(mine: httpx.AsyncClient, said: dict[str, object]) -> None:
    answer = await mine.post("/v1/identity/decisions", json={"reason": "Because.", **said})
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
