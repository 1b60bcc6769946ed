"""What acts on connections, programs and districts say to machines: what was done, to what, and nothing beside it."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.test_seeing import typed
from tests.village import Village

BECAUSE = ("--because", "The board.")
DAYS = ("--from", "2027-06-01", "--until", "2027-06-30")
Asks = Callable[..., Awaitable[Any]]


@pytest.fixture
async def ask(
    store: Store, district: int, actor: Actor, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Asks:
    monkeypatch.setattr("gateway.store.database.migrate", lambda url: None)  # the store's own opening has done it
    await registers.add_connection(store, district, "files", "oneroster", {"path": str(tmp_path)}, {}, actor)
    here = Village(store, district)

    async def asked(*words: str) -> Any:
        code, said = await typed(here, settings, *words, "--json")
        assert code == 0, said
        return json.loads(said)

    return asked


async def test_acts_on_a_connection(ask: Asks, tmp_path: Path) -> None:
    files = {"connection": "files"}
    assert await ask("connections", "pause", "files", *BECAUSE) == {**files, "paused_because": "The board."}
    assert await ask("connections", "resume", "files") == {**files, "paused_because": None}
    assert await ask("connections", "shadow", "files") == {**files, "shadow": True}
    assert await ask("connections", "shadow", "files", "--off") == {**files, "shadow": False}
    heard = await ask("connections", "heartbeat", "files", "https://monitor.example.org/secret-path")
    assert heard == {**files, "called": True}, "and not where: who knows the address can call it"
    assert await ask("connections", "heartbeat", "files") == {**files, "called": False}
    assert await ask("system-of-record", "class", "files") == {**files, "collection": "class"}
    assert await ask("destination", "set", "files", "--stage", "shadow", "--edited-there", "keep") == {
        "destination": "files"
    }
    shown = await ask("destination", "show", "files")
    assert (shown["stage"], shown["schools"], shown["edited_there"]) == ("shadow", [], "keep")
    assert await ask("deliveries", "--to", "files", "--state", "parked") == []
    assert await ask("deliveries", "resend", "--to", "files") == {"destination": "files", "queued": 0, "refused": []}
    whose = await ask("precedence", "set", "person.email", "files")
    assert whose == {"field": "person.email", "connections": ["files"]}
    place = {"collection": "users", "place": "person.email"}
    await ask("overrides", "set", "files", *place.values(), "metadata.mail")
    assert await ask("overrides", "remove", "files", *place.values()) == {**files, **place, "removed": True}
    (given := tmp_path / "given").mkdir()
    with ZipFile(given / "users.zip", "w") as packed:
        packed.writestr("users.csv", "sourcedId\n")
    taken = await ask("upload", "files", str(given / "users.zip"))
    assert taken["connection"] == "files" and (tmp_path / taken["taken_in_as"]).exists()


async def test_acts_on_what_makes_a_run_wait(ask: Asks) -> None:
    limits = {"users": {"removed": 0.2}}
    done = await ask("guards", "set", "files", "--limit", "users.removed=0.2", "--hold-all")
    assert done == {"connection": "files", "hold_all": True, "limits": limits}
    until = "2099-01-01T00:00:00+00:00"
    done = await ask("guards", "allow", "files", "--limit", "users.removed=0.2", "--until", "2099-01-01", *BECAUSE)
    assert done == {"connection": "files", "limits": limits, "until": until}
    quiet = await ask("blackouts", "add", *DAYS, "--connection", "files", *BECAUSE)
    assert (quiet["connection"], quiet["from"]) == ("files", "2027-06-01T00:00:00+00:00")
    number = quiet["blackout"]
    assert await ask("blackouts", "end", str(number)) == {"blackout": number, "ended": True}
    change = await ask("year", "announce", "--last-day", "2099-06-14", "--first-day", "2099-08-16", *BECAUSE)
    cancelled = {"year_change": change["id"], "cancelled": True}
    assert await ask("year", "cancel", *BECAUSE) == cancelled
    rule = {"rule": "state-id", "on": False, "systems": []}
    assert await ask("identity", "rule", "state-id") == rule


async def test_acts_on_who_is_told_and_sent_what(ask: Asks) -> None:
    channel = (await ask("notices", "add-webhook", "https://a.example.org/hook"))["channel"]
    assert await ask("notices", "remove", str(channel)) == {"channel": channel, "removed": True}
    program = (await ask("client", "add", "grades", "--scope", "events.read"))["client_id"]
    hook = (await ask("webhooks", "add", "https://a.example.org/hook", "--client", program))["webhook"]
    assert await ask("webhooks", "resume", str(hook)) == {"webhook": hook, "resumed": True}
    assert await ask("webhooks", "remove", str(hook)) == {"webhook": hook, "removed": True}
    hosted = await ask("agreements", "host", "files", "--agency", "Cloud Inc.")
    assert hosted == {"destination": "files", "agency": "Cloud Inc."}
    agreed = await ask("agreements", "add", "files", "--reference", "DPA-1", *DAYS)
    number = agreed.pop("agreement")
    assert agreed == {"destination": "files", "from": "2027-06-01", "until": "2027-06-30"}
    assert await ask("agreements", "end", str(number), *BECAUSE) == {"agreement": number, "ended": True}


async def test_acts_on_programs_and_districts(ask: Asks) -> None:
    program = (await ask("client", "add", "grades", "--kind", "sis", "--scope", "runs.read"))["client_id"]
    of_it = {"client_id": program}
    assert await ask("client", "signatures", program, "--off") == {"consumer_key": program, "signatures": False}
    keys = ("--jwks-url", "https://grades.example.org/jwks")
    assert await ask("client", "keys", program, *keys) == {**of_it, "keys": True}
    assert await ask("client", "revoke", program) == {**of_it, "revoked": True}
    name = (await ask("district", "add", "Sorrel"))["district"]
    assert await ask("district", "suspend", name, *BECAUSE) == {"district": name, "suspended": True}
    assert await ask("district", "resume", name) == {"district": name, "suspended": False}
