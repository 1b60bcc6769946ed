"""Why deliveries are parked, as the command line tells it: each cause once, with what it explains."""

import asyncio
import io
import json
import os
import sys
from contextlib import redirect_stdout
from typing import Any
from unittest.mock import patch

from sqlalchemy import text

from gateway.cli import main
from gateway.connector import Document, Receipt
from gateway.sending import _causes
from gateway.settings import Settings
from tests.e2e.test_delivery import Here
from tests.e2e.test_delivery import extension as extension
from tests.e2e.test_delivery import here as here  # a fixture
from tests.e2e.test_delivery import standard as standard


async def test_the_command_line_tells_each_cause_once(here: Here, settings: Settings) -> None:
    await here.finalize()
    here.there.gate.closed = "interventions"
    await here.push()
    async with here.store.transaction(here.district) as c:
        name = await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": here.district})
    environment = {"PLANBRIDGE_HOME": str(settings.home), "PLANBRIDGE_DISTRICT": str(name)}
    if settings.database_url:
        environment["PLANBRIDGE_DATABASE_URL"] = str(settings.database_url.get_secret_value())

    def refused(*arguments: str) -> str:
        said = io.StringIO()
        with patch.dict(os.environ, environment), patch.object(sys, "argv", ["planbridge", "refused", *arguments]):
            with redirect_stdout(said):
                try:
                    main()
                except SystemExit as ended:
                    assert not ended.code
        return said.getvalue()

    [cause] = json.loads(await asyncio.to_thread(refused, "--to", "ods", "--json"))
    assert (cause["destination"], cause["plans"], cause["status"]) == ("ods", 1, 403)
    assert (cause["refused"], cause["not_sent"], cause["resources"]) == (2, 2, ["interventions"])
    assert cause["message"].startswith("The key's claim set does not grant this. Ask the server's host")


def test_five_thousand_refusals_of_one_cause_are_one() -> None:
    def one(n: int, after: tuple[str, ...] = ()) -> Document:
        return Document("interventions", {"interventionIdentificationCode": str(n)}, {}, after=after)

    said: dict[str, Any] = {}
    for n in range(5000):
        message = f"The server finds the record invalid (services[{n % 7}].serviceDescriptor is missing)."
        said[one(n).name] = (one(n), Receipt(400, message=message, trace=f"{n:08x}"))
    other = one(6000)
    said[other.name] = (other, Receipt(403, message="The key may not do this.", trace="0f0f0f0f"))
    unsent = [one(7000, after=(one(7001).name,)), one(7001, after=(one(5).name,)), one(7002, after=(other.name,))]
    first, second = _causes(said, unsent)
    assert (first.status, first.refused, first.not_sent, first.trace) == (400, 5000, 2, "00000000")
    assert (second.status, second.refused, second.not_sent) == (403, 1, 1)
