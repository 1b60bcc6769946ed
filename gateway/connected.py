"""A saved connection, opened: its connector, its settings with their secrets, and HTTP that authenticates so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import msgspec

from gateway import registry
from gateway.connector import ConnectionSettings, Connector
from gateway.errors import Refused
from gateway.http import Auth, Http, Pace
from gateway.store import registers, tool_keys
from gateway.store.database import Store
from gateway.store.tokens import DistrictTokens


@asynccontextmanager
async def opened(
    store: Store, connection: registers.Connection
) -> AsyncIterator[tuple[Connector, ConnectionSettings, Http]]:
    """A connection's connector, its settings with secrets, and HTTP that authenticates as it says."""
    connector = registry.connector(connection.connector)
    own = await _own(store, connector)
    settings = connector.settings.model_validate(connection.settings | connection.secrets | own)

    async def credentials_again() -> Auth | None:
        now = await registers.connection(store, connection.district, connection.id)
        if _addresses(now) != _addresses(connection):  # a new secret is for where the connection leads by now
            return None
        again = await _own(store, connector)
        return connector.auth(connector.settings.model_validate(now.settings | now.secrets | again))

    async with Http(
        connector.auth(settings),
        tokens=DistrictTokens(store, connection.district),
        network=settings.network,
        credentials_again=credentials_again,
        in_flight=settings.in_flight,
        pace=_pace(connection.id, settings.requests_per_second),
        timeout=settings.patience,
    ) as http:
        yield connector, settings, http


def refuse_paused(connection: registers.Connection) -> None:
    """A connection rests until a person has mended what it was paused for."""
    if connection.paused_because:
        lift = "check" if connection.paused_code == "credentials" else "connections resume"
        raise Refused(
            "connection-paused",
            f"{connection.name} is paused: {connection.paused_because}",
            f"Mend it, then lift the pause: planbridge {lift} {connection.name}",
        )


def refuse_unread(connection: registers.Connection) -> None:
    """Refused where a connection is one that is only written to."""
    if registry.connector(connection.connector).open_source is None:
        raise Refused(
            "nothing-to-pull",
            f"Nothing is pulled from {connection.name}: plans are only sent to it.",
            f"Take its schedule away, if it has one; `planbridge check {connection.name}` shows how it is.",
        )


async def _own(store: Store, connector: Connector) -> dict[str, str]:
    """What no connection asks for: the key by which we sign, where a connector proves so who we are."""
    if "tool_key" not in connector.settings.model_fields:
        return {}
    key = await tool_keys.current(store)
    return {"tool_key": msgspec.json.encode(key.as_dict(private=True)).decode()}


def _addresses(connection: registers.Connection) -> dict[str, str]:
    return {name: value for name, value in connection.settings.items() if "://" in str(value)}


@cache
def _pace(connection: int, per_second: float | None) -> Pace:
    """One for all of this process that talk to a connection: a pull, a delivery, a check."""
    return Pace(per_second)
