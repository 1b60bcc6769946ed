"""The feed of events: whatever happened is told once, to whoever may know of it, and as ids."""

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from gateway.settings import Settings
from gateway.store import clients
from gateway.store import events as stored
from gateway.store.clients import Client, Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer
from tests.api.world import PLANTED, World, finalized

ALL = ("events.read", "changes.read", "plans.read", "deliveries.read")
SECTIONS = ("identity", "academic", "goals")


async def program(
    store: Store, district: int, actor: Actor, *scopes: str, kind: str = "sis"
) -> tuple[Client, dict[str, str]]:
    """A program of the district's own unless `kind` says otherwise, and the header with its token."""
    grant = Grant(kind, "planning", sorted(set(clients_sections()) & set(SECTIONS)))
    id, secret = await clients.add(store, district, "listener", scopes, actor, grant)
    client = await clients.authenticate(store, id, secret)
    assert client is not None
    token = await clients.issue_token(store, client, client.scopes)
    found = await clients.token_client(store, token)
    assert found is not None
    return found, {"Authorization": f"Bearer {token}"}


def clients_sections() -> tuple[str, ...]:
    from gateway.access import SECTIONS as every

    return tuple(every)


async def look(http: httpx.AsyncClient, header: dict[str, str], **query: Any) -> dict[str, Any]:
    answer = await http.get("/v1/events", params=query, headers=header)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_everything_is_told_once_in_pages_of_any_size_and_as_ids(
    world: World, store: Store, http: httpx.AsyncClient, actor: Actor
) -> None:
    _, header = await program(store, world.district, actor, *ALL)
    whole = await look(http, header, limit=1000)
    paged, place, more = [], "", True
    while more:
        page = await look(http, header, limit=7, after=place)
        paged, place, more = paged + page["events"], page["next"], page["more"]
    assert paged == whole["events"] and not whole["more"]
    assert len({one["id"] for one in paged}) == len(paged)
    told = {one["type"] for one in paged}
    assert {"student.added", "organization.added", "plan.created", "plan.finalized", "delivery.parked"} <= told
    assert [word for word in PLANTED if word in json.dumps(whole)] == []
    final = [one["data"] for one in paged if one["type"] == "plan.finalized"]
    assert final == [{"plan": world.final, "student": world.student, "version": 1}]

    nothing = await look(http, header, after=place)
    assert nothing["events"] == []
    another = await finalized(store, world, actor)
    news = await look(http, header, after=nothing["next"])
    assert {one["data"]["plan"] for one in news["events"]} == {another}
    assert (await look(http, header, after="now"))["events"] == []
    only = await look(http, header, type=["plan.finalized"])
    assert {one["type"] for one in only["events"]} == {"plan.finalized"}
