"""By which word a new key is recognised as somebody who is published, and what becomes of a key that is not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.candidates import Traits
from gateway.store.applying import KEEP_LINKS
from gateway.store.identities import contradicted, refused
from gateway.store.runs import Attempt


@dataclass(frozen=True)
class Why:
    """Why a key waits: a code of docs/errors.md and a plain sentence."""

    code: str
    reason: str


@dataclass(frozen=True)
class Word:
    """By which word a new key is recognised, if by any; `first` is the id it gets where its connection may publish
    and nobody has that word yet; `about` is the population of a person, whose traits may contradict the word."""

    connection: int
    key: str
    word: str | None
    first: str | None
    about: str = ""
    traits: Traits = field(default_factory=Traits)


async def add_words(c: AsyncConnection, words: Sequence[Word]) -> None:
    """Note words to be compared by `match_words`."""
    await c.execute(
        text(
            "INSERT INTO word SELECT CAST(j->>0 AS int), j->>1, j->>2, CAST(j->>3 AS uuid), j->>4, "
            "  CAST(j->>5 AS bigint), CAST(j->>6 AS bigint), CAST(j->>7 AS bigint), CAST(j->>8 AS bigint), "
            "  ARRAY(SELECT CAST(v AS bigint) FROM json_array_elements_text(j->9) v) "
            "FROM json_array_elements(CAST(:rows AS json)) j"
        ),
        {"rows": msgspec.json.encode([_word_row(w) for w in words]).decode()},
    )


def _word_row(w: Word) -> tuple[Any, ...]:
    has = w.traits
    return w.connection, w.key, w.word, w.first, w.about, has.named, has.born, has.email, has.phone, sorted(has.numbers)


_LIVING = (
    "EXISTS (SELECT FROM claim c WHERE c.connection_id = l.connection_id AND c.kind = l.kind AND c.key = l.key "
    "AND c.anchor)"
)
_REFUSED = f"(:kind = 'person' AND {refused('w', 'e')})"
_FITS = f"NOT (:kind = 'person' AND {contradicted('w', 'e')})"
_MATCH_WORDS = (
    # Somebody of the same source was recognised by this word before: neither of the two is told apart any more.
    "INSERT INTO loose SELECT l.connection_id, l.kind, l.key, w.word, false FROM word w "
    "JOIN entity e ON e.match = w.word AND e.kind = :kind "
    "JOIN link l ON l.entity_id = e.id AND l.kind = :kind AND l.connection_id = w.connection_id AND l.key <> w.key "
    f"  AND l.method NOT IN ('alias', 'decided') WHERE w.first IS NULL AND {_LIVING} AND NOT {_REFUSED} "
    "ON CONFLICT DO NOTHING",
    "INSERT INTO touched SELECT DISTINCT other.connection_id, other.kind, other.key FROM loose o "
    "JOIN link l ON l.key = o.key AND l.kind = o.kind AND l.connection_id = o.connection_id "
    "JOIN link other ON other.entity_id = l.entity_id AND other.kind = l.kind WHERE o.word IS NOT NULL "
    "ON CONFLICT (kind, connection_id, key) DO UPDATE SET done = false",
    "INSERT INTO word SELECT connection_id, key, word, NULL, "
    "  CASE WHEN kind = 'person' THEN split_part(word, chr(31), 1) ELSE '' END FROM loose WHERE word IS NOT NULL",
    "WITH l AS (DELETE FROM link l USING loose o WHERE o.word IS NOT NULL AND l.key = o.key AND l.kind = o.kind "
    f"AND l.connection_id = o.connection_id RETURNING l.*) {KEEP_LINKS} FROM l",
    "ANALYZE word",
    # Exactly one key of the source, exactly one entity, and no other key of the source denotes it.
    "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
    "SELECT :district, w.connection_id, :kind, w.key, e.id, 'matched', :run, :run FROM word w "
    "JOIN entity e ON e.match = w.word AND e.kind = :kind "
    f"WHERE NOT {_REFUSED} AND {_FITS} "
    "AND (SELECT count(*) FROM word o WHERE o.word = w.word AND o.connection_id = w.connection_id "
    f"  AND NOT (:kind = 'person' AND {refused('o', 'e')})) = 1 "
    "AND (SELECT count(*) FROM entity o WHERE o.match = w.word AND o.kind = :kind) = 1 "
    "AND NOT EXISTS (SELECT FROM link l WHERE l.entity_id = e.id AND l.kind = :kind "
    f"  AND l.connection_id = w.connection_id AND l.method <> 'alias' AND (NOT :rekeyed OR {_LIVING})) "
    "ON CONFLICT DO NOTHING",
)
_UNLINKED_PERSON = (
    ":kind = 'person' AND NOT EXISTS (SELECT FROM link l WHERE l.key = w.key AND l.kind = 'person' "
    "AND l.connection_id = w.connection_id)"
)
_SETTLE_WORDS = (
    "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
    "SELECT :district, connection_id, :kind, key, first, 'first', :run, :run FROM word WHERE first IS NOT NULL "
    "ON CONFLICT DO NOTHING",
    "INSERT INTO waiting SELECT :district, w.connection_id, :kind, w.key, w.about, "
    "  CASE WHEN fits IS NULL THEN :unknown_code WHEN fits OR shared THEN :ambiguous_code "
    "    ELSE :contradicted_code END, '', '', "
    "  CASE WHEN fits IS NULL THEN :unknown_reason WHEN fits OR shared THEN :ambiguous_reason "
    "    ELSE :contradicted_reason END, :run "
    "FROM (SELECT *, EXISTS (SELECT FROM word o WHERE o.word = w.word AND o.connection_id = w.connection_id "
    f"      AND o.key <> w.key) AS shared, (SELECT bool_or({_FITS}) FROM entity e WHERE e.match = w.word "
    f"      AND e.kind = :kind AND NOT {_REFUSED}) AS fits FROM word w) w "
    "WHERE NOT EXISTS (SELECT FROM link l WHERE l.key = w.key AND l.kind = :kind "
    "  AND l.connection_id = w.connection_id)",
    "INSERT INTO person_trait (district_id, connection_id, key, named, born, email, phone) "
    f"SELECT :district, connection_id, key, named, born, email, phone FROM word w WHERE {_UNLINKED_PERSON} "
    "ON CONFLICT DO NOTHING",
    "INSERT INTO person_number (district_id, connection_id, key, number) "
    f"SELECT :district, connection_id, key, unnest(numbers) FROM word w WHERE {_UNLINKED_PERSON} "
    "ON CONFLICT DO NOTHING",
    "TRUNCATE word",
)


async def match_words(c: AsyncConnection, attempt: Attempt, kind: str, *, rekeyed: bool) -> None:
    """Link each noted key to the one published entity that has its word.

    What is not exactly one is never guessed: two keys of a source with one word are both ambiguous, also when the
    first of them was recognised long ago. `rekeyed`: a key that is gone does not stand in the way.
    """
    for statement in _MATCH_WORDS:
        await c.execute(text(statement), {"district": attempt.district, "run": attempt.run, "kind": kind,
                                          "rekeyed": rekeyed})  # fmt: skip


async def settle_words(
    c: AsyncConnection, attempt: Attempt, kind: str, *, unknown: Why, ambiguous: Why, contradicted: Why
) -> None:
    """Give each noted key that was not recognised an entity of its own, where it may publish; list the others."""
    values = {"district": attempt.district, "run": attempt.run, "kind": kind}
    for name, why in (("unknown", unknown), ("ambiguous", ambiguous), ("contradicted", contradicted)):
        values |= {f"{name}_code": why.code, f"{name}_reason": why.reason}
    for statement in _SETTLE_WORDS:
        await c.execute(text(statement), values)


async def loosen(c: AsyncConnection, kind: str, keys: Sequence[tuple[int, str]]) -> None:
    """Forget what these keys denote; they are recognised anew in the next round."""
    if not keys:
        return
    values = {"kind": kind, "connections": [k[0] for k in keys], "keys": [k[1] for k in keys]}
    await c.execute(
        text(
            "INSERT INTO loose SELECT u.connection_id, :kind, u.key, NULL, true "
            "FROM unnest(CAST(:connections AS int[]), CAST(:keys AS text[])) u(connection_id, key) "
            "ON CONFLICT DO NOTHING"
        ),
        values,
    )
