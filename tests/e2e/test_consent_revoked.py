"""A consent is revoked while a plan waits for its turn: the worker sends nothing of it, and says why."""

import asyncio
import json
from datetime import timedelta

from connectors.document_drop.settings import DocumentDropSettings
from gateway import clock, dispatch
from gateway.connector import validated
from gateway.errors import Refused
from gateway.settings import Settings
from gateway.store import consents, registers
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.e2e.messages import DISASTERS
from tests.e2e.office import Office, QuickHome
from tests.e2e.processes import Home, until
from tests.records import small, tied_goal

EDUCATOR = Actor("Ottoline Farrow", "educator")


async def queued(home: Home) -> tuple[int, str]:
    """A family consents, a plan is finalized and asked for; no worker runs yet. (consent, plan)."""
    store = await Store.open(Settings(home=home.home, shared_buffers="64MB"))
    try:
        district = await registers.district(store, "default")
        here = await small(store, district, EDUCATOR, home.folder / "sis")
        shape = validated(DocumentDropSettings, {"path": str(home.folder / "out"), "readers": "the registrar"})
        plain = shape.model_dump(mode="json", exclude={"sftp_password", "sftp_key", "proxy"})
        await registers.add_connection(
            store, district, "archive", "document_drop", plain, {}, EDUCATOR, keeps_roster=False
        )
        plan = await here.finalized(0, goals=[tied_goal()])
        today = clock.today()
        sections = ["identity", "strengths", "academic", "goals", "school_supports"]
        given = Given(here.children[0], "Odalys Umberfield", "guardian", "destination:archive", sections, "planning",
                      True, today, today + timedelta(days=300))  # fmt: skip
        async with store.transaction(district) as c:
            consent = await consents.add(store, c, district, given, EDUCATOR)
        await dispatch.request_push(store, district, plan, "archive", EDUCATOR)
        return consent, plan
    finally:
        await store.close()


def test_14_a_consent_is_revoked_while_the_plan_waits() -> None:
    with QuickHome.made(laid=True) as home:
        out = home.folder / "out"
        out.mkdir()
        consent, plan = asyncio.run(queued(home))
        office = Office(home, "default")
        office.ask("notices", "add-email", "it@district.example.org")
        office.ask("consents", "revoke", str(consent), "--because", "They thought it over.", "--as", "Imre")
        worker = home.start("worker")
        until(lambda: home.one("SELECT state FROM delivery") == "parked", "the worker parks it")
        until(lambda: home.sql("SELECT 1 FROM notice WHERE event = 'failure'"), "people are told")
        home.stop(worker)

        assert list(out.iterdir()) == [], "nothing of it was sent"
        [listed] = office.ask("deliveries", "--state", "parked")
        one = office.ask("deliveries", "show", str(listed["id"]))
        assert "[consent-missing]" in one["reason"] and "The consent for it was revoked" in one["reason"]
        assert "planbridge consents add" in one["reason"] and "thought it over" not in json.dumps(one)
        message = home.one("SELECT message FROM notice WHERE event = 'failure'")
        assert plan not in json.dumps(message) and "Umberfield" not in json.dumps(message)
        DISASTERS[14].told(message)

        # Whoever sends it again meets the same: it is asked for each time.
        again = office.ask("deliveries", "resend", str(one["id"]), "--as", "Imre", code=Refused.exit_code)
        assert again["error"] == "consent-missing" and list(out.iterdir()) == []
