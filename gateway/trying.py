"""Trying a system before or after it is connected: what it says to its settings, and what follows from that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from gateway import collecting
from gateway.collecting import Reason
from gateway.connector import Checking, ConnectionSettings, Connector, Finding, validated
from gateway.http import Http, MemoryTokens, Pace
from gateway.store import collected, deliveries, registers
from gateway.store.database import Store


async def collects(store: Store, connection: registers.Connection) -> dict[str, Reason]:
    """What a connection collects beyond roster and results, and why."""
    async with store.transaction(connection.district) as c:
        return await collected.reasons(c, connection.id)


async def try_out(
    kind: Connector,
    settings: Any,
    reasons: Mapping[str, Reason] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Talk to the system as these settings say, and report. `reasons`: what is collected beyond roster and results;
    `profile`: what a destination gets."""
    async with Http(
        kind.auth(settings),
        tokens=MemoryTokens(),
        network=settings.network,
        in_flight=settings.in_flight,
        pace=Pace(settings.requests_per_second),
        timeout=settings.patience,
    ) as http:
        return await seen(kind, settings, http, reasons or {}, profile or {})


async def seen(
    kind: Connector,
    settings: ConnectionSettings,
    http: Http,
    reasons: Mapping[str, Reason],
    profile: Mapping[str, Any],
) -> list[Finding]:
    """What a check sees. Something that the delivery profile leaves out is no fault where it is not possible."""
    found = [*await _asked(kind, settings, http, reasons), *_collected(kind, reasons), *_opened(settings)]
    off = {one.choice for one in found} - {name for name, value in profile.items() if value} - {""}
    return [replace(one, ok=True, fix="") if one.choice in off else one for one in found]


async def _asked(
    kind: Connector, settings: ConnectionSettings, http: Http, reasons: Mapping[str, Reason]
) -> Sequence[Finding]:
    """What the system itself says; one that is only written to is asked by whoever writes to it."""
    if kind.open_source is None:
        assert kind.open_sink is not None
        sink = await kind.open_sink(settings, http)
        try:
            return await sink.check() if isinstance(sink, Checking) else []
        finally:
            await sink.close()
    source = await kind.open_source(settings, http)
    try:
        collecting.open_for(source, reasons)
        return await source.check()
    finally:
        await source.close()


async def chosen(store: Store, connection: registers.Connection) -> Mapping[str, Any]:
    """The delivery profile of a connection; empty where it is no destination."""
    async with store.transaction(connection.district) as c:
        return await deliveries.profile(c, connection.id) or {}


def _collected(kind: Connector, reasons: Mapping[str, Reason]) -> list[Finding]:
    """What is read beyond roster and results: whoever reads the check sees the purpose again."""
    found = [
        Finding(True, f"{group} is collected: {why.purpose}" + (f" (basis: {why.basis})" if why.basis else ""))
        for group, why in reasons.items()
    ]
    if off := [group for group in collecting.offered(kind) if group not in reasons]:
        found.append(Finding(True, f"Not collected, and not asked for: {', '.join(off)}."))
    return found


def _opened(settings: ConnectionSettings) -> list[Finding]:
    """What is reached although it is not on the public internet: whoever reads the check sees the reason again."""
    return [
        Finding(True, f"{one.place} is allowed although it is private: {one.reason}.")
        for one in settings.network.private
    ]


def learnt(kind: Connector, settings: Any, findings: Sequence[Finding]) -> tuple[Any, Mapping[str, Any]]:
    """The settings with what a check proposes where nobody has set anything, and what that is."""
    proposed = {name: value for finding in findings for name, value in finding.propose.items()}
    fields = kind.settings.model_fields
    news = {
        name: value
        for name, value in proposed.items()
        if getattr(settings, name) == fields[name].default and value != fields[name].default
    }
    if not news:
        return settings, news
    # From what is set, so that defaults stay what they are; dumping would hide the secrets.
    return validated(kind.settings, {name: getattr(settings, name) for name in fields} | news), news


def kept(kind: Connector) -> list[dict[str, str]]:
    """Per collection: which fields are read, which are dropped before anything is stored."""
    return [
        {
            "collection": resource.name,
            "read": ", ".join(field.encode_name for field in msgspec.structs.fields(resource.wire)),
            "dropped": ", ".join(
                [
                    *resource.drop,
                    *(f"{name} (but what an override reads)" for name in resource.closed),
                    *(["whatever else there is"] if resource.keep else []),
                ]
            ),
            "only if": f"{resource.group} are collected" if resource.group else "",
        }
        for resource in kind.resources
    ]
