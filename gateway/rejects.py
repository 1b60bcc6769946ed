"""What people do about records that were set aside: look at one without its values, read them again."""

from dataclasses import asdict, dataclass
from typing import Any

from gateway import codes, jobs
from gateway.errors import ConfigError, Refused
from gateway.masking import masked, tail
from gateway.replay import Wanted
from gateway.store import registers
from gateway.store import rejects as stored
from gateway.store.database import Store, Transaction
from gateway.store.payloads import Selection
from gateway.store.registers import Actor
from gateway.store.runs import Mode


async def look(store: Store, district: int, id: int) -> dict[str, Any]:
    """One reject: where it stood, why, what became of it; its payload masked, None where it was purged."""
    async with store.transaction(district) as c:
        found = await stored.one(store, c, id)
    shown = asdict(found) | {"connection": found.name, "key": tail(found.key)}
    shown["payload"] = None if found.body is None else masked(found.body, found.field)
    return {name: value for name, value in shown.items() if name not in ("name", "body")}


async def with_news(store: Store, c: Transaction, district: int, causes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The causes, each with whether its connection's codes or mapping are others now than when it was set aside."""
    now = {
        one.name: (await codes.opened(c, one)).fingerprint
        for one in await registers.connections(store, district)
        if any(cause["connection"] == one.name for cause in causes)
    }
    return [
        {name: value for name, value in cause.items() if name != "mappings"}
        | {"read_differently": cause["mappings"] != [now[cause["connection"]]]}
        for cause in causes
    ]


@dataclass(frozen=True)
class Asked:
    """The run that reads a connection's rejects again, or why there is none."""

    connection: str
    run: int | None
    refused: str = ""


async def replay(
    store: Store, district: int, actor: Actor, *, cause: str | None = None, id: int | None = None,
    mode: Mode = "publish",
) -> list[Asked]:  # fmt: skip
    """Read one reject, those of a cause, or all that are open once more: a run for each connection.

    What one connection refuses does not keep the others; where all refuse, the first refusal is raised.
    """
    async with store.transaction(district) as c:
        open_with = await stored.open_with(c, cause=cause, id=id)
        if id is not None and not open_with:
            found = await stored.one(store, c, id)
            raise Refused(
                "reject-not-open", f"Reject {id} is {found.state}.", "`planbridge rejects --rows` lists them."
            )
    if not open_with:
        raise ConfigError(
            "cause-unknown",
            f"No open reject has the cause {cause!r}." if cause is not None else "No record is set aside.",
            "`planbridge rejects` lists the causes.",
        )
    selection = Selection(
        rejects=() if id is None else (id,),
        causes=() if cause is None else (cause,),
        every_reject=id is None and cause is None,
    )
    asked: list[Asked] = []
    refusals: list[Refused] = []
    for connection in sorted(open_with):
        found_connection = await registers.connection(store, district, connection)
        try:
            run = await jobs.request_replay(store, found_connection, Wanted(selection), actor, mode=mode)
            asked.append(Asked(found_connection.name, run))
        except Refused as refusal:
            refusals.append(refusal)
            asked.append(Asked(found_connection.name, None, refusal.message))
    if len(refusals) == len(asked):
        raise refusals[0]
    return asked
