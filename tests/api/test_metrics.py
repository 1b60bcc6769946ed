"""The numbers for Prometheus: who gets them, and that they are those of the database."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text

from gateway import api
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer, serving
from tests.api.world import PLANTED, World

TOKEN = "scrape-me"


def numbers(answer: httpx.Response) -> dict[tuple[str, str, str], float]:
    """(metric, district, connection or state) -> number."""
    assert answer.status_code == 200, answer.text
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            of = sample.labels
            found[sample.name, of.get("district", ""), of.get("state", of.get("connection", ""))] = sample.value
    return found


async def scraped(store: Store, settings: Settings) -> httpx.Response:
    told = settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    async with serving(api.create_app(store, told)) as http:
        return await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})


async def test_without_a_token_in_the_settings_there_are_none(http: httpx.AsyncClient) -> None:
    assert (await http.get("/metrics", headers={"Authorization": "Bearer x"})).status_code == 404


async def test_only_the_token_opens_them(store: Store, settings: Settings, district: int, bearer: Bearer) -> None:
    told = settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    a_client = await bearer(district)
    async with serving(api.create_app(store, told)) as http:
        for headers in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer scrape-mé".encode()}, a_client):
            answer = await http.get("/metrics", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "planbridge_" not in answer.text
        assert (await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


async def test_a_connection_and_the_queue_in_numbers(
    store: Store, settings: Settings, district: int, actor: Actor
) -> None:
    sis = await registers.add_connection(store, district, "sis", "oneroster", {}, {}, actor)
    async with store.transaction(district) as c:
        name = str(await c.scalar(text(f"SELECT name FROM district WHERE id = {district}")))
        await c.execute(text("UPDATE connection SET created_at = now() - interval '90 h'"))
        for state, ago in (("published", 30), ("failed", 20), ("failed", 10)):
            good = f"now() - interval '{ago} h'" if state == "published" else "NULL"
            await c.execute(
                text(
                    "INSERT INTO run (district_id, connection_id, state, actor, good_at, finished_at, error) VALUES "
                    f"({district}, {sis}, '{state}', '{{}}', {good}, now() - interval '{ago} h', 'What it was.')"
                )
            )
        good_at = await c.scalar(text("SELECT extract(epoch FROM good_at) FROM run WHERE good_at IS NOT NULL"))
    before = numbers(await scraped(store, settings))
    of = {
        key[0].removeprefix("planbridge_connection_"): value
        for key, value in before.items()
        if key[1:] == (name, "sis")
    }
    assert of.pop("silence_seconds") == pytest.approx(30 * 3600, abs=60)
    assert of.pop("good_sync_timestamp_seconds") == pytest.approx(float(good_at))
    assert of == {
        "limit_seconds": 26 * 3600,
        "late": 1,
        "paused": 0,
        "held": 0,
        "overwritten": 0,
        "removals_held": 0,
        "under_way": 0,
        "failures": 2,
    }
    assert before["planbridge_runs", name, "failed"] == 2
    assert before["process_resident_memory_bytes", "", ""] > 0
    async with store.owner.begin() as c:
        await c.execute(
            text("INSERT INTO procrastinate_jobs (task_name, queue_name, status) VALUES ('x', 'x', 'todo')")
        )
        await c.execute(text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())"))
        await c.execute(text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 h')"))
    after = numbers(await scraped(store, settings))
    async with store.owner.begin() as c:
        await c.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'x'"))
        await c.execute(text("DELETE FROM procrastinate_workers"))
    for metric in ("planbridge_jobs_waiting", "planbridge_workers"):
        assert after[metric, "", ""] == before[metric, "", ""] + 1


async def test_no_number_tells_about_a_person(store: Store, settings: Settings, world: World) -> None:
    said = (await scraped(store, settings)).text
    assert "planbridge_runs" in said
    assert [word for word in (*PLANTED, world.student) if word.casefold() in said.casefold()] == []
