"""Requests that came with a key of the caller's at rest: what was answered, so that one that comes again is answered so
too, in whichever process, and is not carried out twice."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text

from gateway.store.database import Store

DAYS = 7
"""How long an answer is kept."""
UNFINISHED = "10 minutes"
"""After so long whoever carried out a request does so no more: their process ended."""
_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: str


State = Literal["mine", "running", "unfinished", "other", "narrower"]


@dataclass(frozen=True)
class Claim:
    """A request of a client under a key of its own. `text`: what the request says, by which it is told from another
    one under the same key; `scopes`: what the token may that came with it."""

    district: int
    client: str
    key: str
    text: str
    scopes: frozenset[str]

    @property
    def names(self) -> dict[str, object]:
        hashed = hashlib.sha256(f"{self.client}\n{self.key}".encode()).hexdigest()
        return {"district": self.district, "client": self.client, "key": hashed}

    @property
    def sha256(self) -> str:
        # With the key in it: a body of few words is not found by its hash alone.
        return hashlib.sha256(f"{self.key}\n{self.text}".encode()).hexdigest()


async def claim(store: Store, asked: Claim) -> State | Answer:
    """Begin a request: `mine` is to be carried out now, and to be ended by `answered`, `failed` or `let_go`. Else what
    the first one was answered; `running` where it still is, `unfinished` where nobody knows what became of it, `other`
    where it was another request, `narrower` where its token may do what this one may not."""
    async with store.transaction(asked.district) as c:
        await c.execute(
            text("DELETE FROM repeatable WHERE begun_at < now() - make_interval(days => :days)"), {"days": DAYS}
        )
        fresh = await c.scalar(
            text(
                "INSERT INTO repeatable (district_id, client_id, key_sha256, request_sha256, named) "
                "VALUES (:district, :client, :key, :sha256, CAST(:named AS uuid[])) ON CONFLICT DO NOTHING "
                "RETURNING true"
            ),
            {**asked.names, "sha256": asked.sha256, "named": _named(asked.text)},
        )
        if fresh:
            return "mine"
        row = (
            await c.execute(
                text(
                    "SELECT request_sha256, failed, status, sealed_answer, "
                    f"  begun_at < now() - interval '{UNFINISHED}' AS old FROM repeatable {_THIS}"
                ),
                asked.names,
            )
        ).one_or_none()
    if row is None:  # it was let go a moment ago
        return "running"
    if row.request_sha256 != asked.sha256:
        return "other"
    if row.sealed_answer is not None:
        told = json.loads(store.secrets.open(row.sealed_answer))
        # an answer may tell whatever its token could see; those kept before scopes were have none
        if not asked.scopes.issuperset(told.get("scopes", ())):
            return "narrower"
        return Answer(row.status, told["headers"], told["body"])
    return "unfinished" if row.failed or row.old else "running"


async def answered(store: Store, asked: Claim, answer: Answer) -> None:
    """Keep what was answered."""
    kept = {"headers": dict(answer.headers), "body": answer.body, "scopes": sorted(asked.scopes)}
    sealed = store.secrets.seal(json.dumps(kept).encode())
    async with store.transaction(asked.district) as c:
        await c.execute(
            text(
                "UPDATE repeatable SET status = :status, sealed_answer = :sealed, "
                f"  named = named || CAST(:named AS uuid[]) {_THIS}"
            ),
            {**asked.names, "status": answer.status, "sealed": sealed, "named": _named(answer.body)},
        )


async def failed(store: Store, asked: Claim) -> None:
    """Keep that nobody knows what became of a request."""
    async with store.transaction(asked.district) as c:
        await c.execute(text(f"UPDATE repeatable SET failed = true {_THIS}"), asked.names)


async def let_go(store: Store, asked: Claim) -> None:
    """Forget a request that was not begun: it may come again."""
    async with store.transaction(asked.district) as c:
        await c.execute(text(f"DELETE FROM repeatable {_THIS}"), asked.names)


_THIS = "WHERE district_id = :district AND client_id = :client AND key_sha256 = :key"


def _named(said: str) -> list[str]:
    """Every id that stands in a text: by them a purge finds it."""
    return sorted({one.lower() for one in _ID.findall(said)})
