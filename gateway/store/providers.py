"""A district's own identity provider: where it is, how its people are found on the roster, sign-ins under way."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from gateway import clock
from gateway.errors import ConfigError
from gateway.store import sessions
from gateway.store.clients import fingerprint
from gateway.store.database import Store, Transaction
from gateway.store.present import live
from gateway.store.registers import Actor, log_act

BEGUN_MINUTES = 10
"""How long somebody may take to sign in at the provider."""

_MATCHED_BY = {
    "email": "lower(e.doc->>'email') = lower(:value)",
    "username": "lower(e.doc->>'username') = lower(:value)",
    "identifier": "EXISTS (SELECT FROM json_array_elements(e.doc->'identifiers') i WHERE i->>'value' = :value)",
    "sourced-id": "EXISTS (SELECT FROM link l WHERE l.kind = 'person' AND l.key = :value AND l.entity_id = e.id)",
}
MATCHED_BY = tuple(_MATCHED_BY)
"""By what of the roster a claim of the provider may find a person."""


@dataclass(frozen=True)
class Provider:
    """`claim` of its tokens is compared with what `matched_by` names. `second_factor`: the district says that it asks
    everybody for one. `audiences`: for whom else it issues tokens that we take in exchange -> our client."""

    issuer: str
    client_id: str
    secret_reference: str = ""
    claim: str = "email"
    matched_by: str = "email"
    second_factor: bool = False
    audiences: Mapping[str, str] = field(default_factory=dict)
    private_addresses: Sequence[str] = ()


async def of(store: Store, district: int) -> Provider | None:
    """The district's provider; None where its people sign in with accounts of ours."""
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    "SELECT issuer, client_id, secret_reference, claim, matched_by, second_factor, audiences, "
                    "  private_addresses FROM identity_provider"
                )
            )
        ).one_or_none()
    return None if row is None else Provider(**row._mapping)


async def choose(store: Store, district: int, provider: Provider, actor: Actor) -> None:
    """Have the district's people sign in there from now on. ConfigError where a claim cannot be compared so."""
    if provider.matched_by not in _MATCHED_BY:
        raise ConfigError(
            "match-unknown",
            f"People are not found by {provider.matched_by!r}.",
            f"Choose from: {', '.join(MATCHED_BY)}.",
        )
    async with store.transaction(district) as c:
        values = {
            "district": district,
            **vars(provider),
            "audiences": json.dumps(dict(provider.audiences)),
            "private_addresses": json.dumps(list(provider.private_addresses)),
        }
        await c.execute(text("DELETE FROM identity_provider"))
        await c.execute(
            text(
                "INSERT INTO identity_provider (district_id, issuer, client_id, secret_reference, claim, matched_by, "
                "  second_factor, audiences, private_addresses) VALUES (:district, :issuer, :client_id, "
                "  :secret_reference, :claim, :matched_by, :second_factor, CAST(:audiences AS json), "
                "  CAST(:private_addresses AS json))"
            ),
            values,
        )
        said = {
            "client": provider.client_id, "claim": provider.claim, "matched_by": provider.matched_by,
            "second_factor": provider.second_factor, "audiences": dict(provider.audiences),
        }  # fmt: skip
        await log_act(c, district, actor, "identity-provider", provider.issuer, said)


async def forget(store: Store, district: int, actor: Actor) -> None:
    """Have the district's people sign in with accounts of ours again."""
    async with store.transaction(district) as c:
        gone = await c.scalar(text("DELETE FROM identity_provider RETURNING issuer"))
        if gone is not None:
            await log_act(c, district, actor, "identity-provider-end", gone, {})


async def people(c: Transaction, district: int, matched_by: str, value: str) -> list[tuple[str, dict[str, Any]]]:
    """Who on the roster today has this value, at most two of them: by id, with what the roster says."""
    rows = await c.execute(
        text(
            "SELECT CAST(e.id AS text) AS id, e.doc FROM entity e WHERE e.kind = 'person' "
            f"AND e.district_id = :district AND {_MATCHED_BY[matched_by]} "
            f"AND {live('e.id')} ORDER BY 1 LIMIT 2"
        ),
        {"district": district, "value": value, "today": clock.today().isoformat()},
    )
    return [(row.id, row.doc) for row in rows]


@dataclass(frozen=True)
class Begun:
    """A sign-in that is under way at the provider: what its answer is held against, and where it leads then."""

    state: str
    nonce: str
    verifier: str
    next: str


async def begin(store: Store, district: int, next: str) -> Begun:
    """A new one, remembered for ten minutes."""
    begun = Begun(f"{district}.{secrets.token_urlsafe(32)}", secrets.token_urlsafe(24), secrets.token_urlsafe(48), next)
    async with store.transaction(district) as c:
        await c.execute(text("DELETE FROM sign_in_begun WHERE expires_at < now()"))
        await c.execute(
            text(
                "INSERT INTO sign_in_begun (state_hash, district_id, nonce, verifier, next, expires_at) VALUES "
                "(:hash, :district, :nonce, :verifier, :next, now() + make_interval(mins => :minutes))"
            ),
            {
                "hash": fingerprint(begun.state),
                "district": district,
                "nonce": begun.nonce,
                "verifier": begun.verifier,
                "next": next,
                "minutes": BEGUN_MINUTES,
            },
        )
    return begun


async def take(store: Store, state: str) -> tuple[int, Begun] | None:
    """The sign-in with this state and its district, once; None where there is none, or it took too long."""
    district = sessions.district_of(state)
    if district is None:
        return None
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    "DELETE FROM sign_in_begun WHERE state_hash = :hash AND expires_at > now() "
                    "RETURNING nonce, verifier, next"
                ),
                {"hash": fingerprint(state)},
            )
        ).one_or_none()
    return None if row is None else (district, Begun(state, row.nonce, row.verifier, row.next))
