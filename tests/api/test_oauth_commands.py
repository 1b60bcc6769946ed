"""Credentials of programs at the command line: made, renewed, switched and ended, each act on record."""

import asyncio
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from joserfc.jwk import ECKey
from sqlalchemy import text

from gateway.cli import main
from gateway.settings import Settings
from gateway.store import clients
from gateway.store.database import Store


async def test_a_program_gets_credentials_and_loses_them(
    store: Store, settings: Settings, district: int, tmp_path: Path
) -> None:
    async with store.transaction() as c:
        name = str(await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": district}))

    async def typed(*arguments: str, code: int = 0) -> Any:
        return await asyncio.to_thread(_typed, settings, name, arguments, code)

    made = await typed("client", "add", "reader", "--kind", "sis", "--scope", "runs.read", "--scope", "runs.write",
                       "--default-scope", "runs.read", "--json")  # fmt: skip
    id = made["client_id"]
    other = await typed("client", "rotate", id, "--overlap", "12h", "--json")
    for secret in (made["client_secret"], other["client_secret"]):
        client = await clients.authenticate(store, id, secret)
        assert client is not None and client.default == {"runs.read"}
    assert "consumer_secret" in await typed("client", "signatures", id, "--json")
    await typed("client", "signatures", id, "--off")
    (tmp_path / "jwks.json").write_text(json.dumps(ECKey.generate_key("P-256").as_dict(private=False)))
    await typed("client", "keys", id, "--jwks", str(tmp_path / "jwks.json"))
    [listed] = await typed("client", "list", "--json")
    assert (listed["proof"], listed["oauth1"], listed["default_scopes"]) == ("keys", False, ["runs.read"])
    by_key = await typed("client", "add", "keyed", "--kind", "sis", "--scope", "runs.read", "--jwks-url", "https://a.example.org/k",
                         "--json")  # fmt: skip
    assert by_key.keys() == {"client_id"}
    await typed("client", "rotate", by_key["client_id"], code=2)
    await typed("client", "rotate", id, "--overlap", "soon", code=2)
    await typed("client", "keys", id, code=2)
    await typed("client", "revoke", id)
    async with store.transaction(district) as c:
        acts = (await c.execute(text("SELECT act FROM act WHERE subject = :id ORDER BY seq"), {"id": id})).scalars()
        assert list(acts) == [
            "client-add", "client-rotate", "client-oauth1", "client-oauth1", "client-keys", "client-revoke"
        ]  # fmt: skip
    await typed("signing-key", "rotate")


def _typed(settings: Settings, district: str, arguments: tuple[str, ...], code: int) -> Any:
    """What a command says; it must end with `code`."""
    environment = {"PLANBRIDGE_HOME": str(settings.home), "PLANBRIDGE_DISTRICT": district}
    if settings.database_url:
        environment["PLANBRIDGE_DATABASE_URL"] = settings.database_url.get_secret_value()
    said, ended = io.StringIO(), 0
    with patch.dict(os.environ, environment), patch.object(sys, "argv", ["planbridge", *arguments]):
        with redirect_stdout(said), redirect_stderr(said):
            try:
                main()
            except SystemExit as end:
                ended = int(end.code or 0)
    assert ended == code, said.getvalue()
    return json.loads(said.getvalue()) if "--json" in arguments else said.getvalue()
