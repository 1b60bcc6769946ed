"""Local accounts of people on the roster: what proves who they are, the links that open them, and wrong tries."""

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text

from gateway import clock
from gateway.errors import ConfigError, Refused
from gateway.store import sessions, standing
from gateway.store.clients import fingerprint
from gateway.store.database import Store, Transaction
from gateway.store.present import live, on_roster, shut_out
from gateway.store.registers import Actor, log_act

LINK_HOURS = 72
FREE_TRIES = 5
"""Wrong tries at one name before each further one has to wait."""
FIRST_WAIT, LONGEST_WAIT = 30, 3600
"""Seconds; each wait is twice the one before."""


@dataclass(frozen=True)
class Account:
    """Somebody's way in. `totp` is the opened seed of their second factor, None where they have none."""

    id: int
    person: str
    name: str
    password_hash: str | None = field(repr=False)
    totp: str | None = field(repr=False)
    suspended: bool


async def invite(store: Store, district: int, person: str, name: str, actor: Actor) -> str:
    """An account for somebody on the roster, or a new link to theirs; returns the secret part of the link. Earlier
    links end. Refused where they are not on the roster today, or the name is somebody else's."""
    name = _checked_name(name)
    async with store.transaction(district) as c:
        if await on_roster(c, district, person) is None:
            raise Refused(
                "account-without-person",
                "Nobody with this id is on the roster today.",
                "An account is for somebody on the roster: `planbridge pull` first, or correct the source.",
            )
        id = await c.scalar(
            text(
                "INSERT INTO account (district_id, person_id, name) VALUES (:district, CAST(:person AS uuid), :name) "
                "ON CONFLICT DO NOTHING RETURNING id"
            ),
            {"district": district, "person": person, "name": name},
        )
        if id is None:
            found = await named(store, c, name)
            if found is None or found.person != person:
                raise Refused(
                    "account-exists",
                    "This name or this person has an account already.",
                    "`planbridge accounts list` shows them; a new link is made with the same person and name.",
                )
            id = found.id
        token = await _link(store, c, district, id)
        await log_act(c, district, actor, "account-invite", person, {"account": id})
    return token


def _checked_name(name: str) -> str:
    name = name.strip().lower()
    if not 2 < len(name) <= 200 or not name.isprintable():
        raise ConfigError("account-name", "This is no name to sign in with.", "Give one of 3 to 200 characters.")
    return name


async def _link(store: Store, c: Transaction, district: int, account: int) -> str:
    import pyotp  # where it is needed: few processes make links

    await c.execute(
        text("DELETE FROM account_link WHERE account_id = :account AND used_at IS NULL"), {"account": account}
    )
    token = f"{district}.{secrets.token_urlsafe(32)}"
    await c.execute(
        text(
            "INSERT INTO account_link (token_hash, district_id, account_id, totp, expires_at) "
            "VALUES (:hash, :district, :account, :totp, now() + make_interval(hours => :hours))"
        ),
        {
            "hash": fingerprint(token),
            "district": district,
            "account": account,
            "totp": store.secrets.seal(pyotp.random_base32().encode()),
            "hours": LINK_HOURS,
        },
    )
    return token


@dataclass(frozen=True)
class Link:
    """A link that still opens an account, and the seed that its page offers."""

    account: Account
    totp: str = field(repr=False)


async def opened_by(store: Store, c: Transaction, token: str, *, use: bool = False) -> Link | None:
    """What a link opens; None where it is unknown, used or too old. `use`: from now on it opens nothing."""
    which = "token_hash = :hash AND used_at IS NULL AND expires_at > now()"
    found = (
        await c.execute(
            text(
                f"UPDATE account_link SET used_at = now() WHERE {which} RETURNING account_id, totp"
                if use
                else f"SELECT account_id, totp FROM account_link WHERE {which}"
            ),
            {"hash": fingerprint(token)},
        )
    ).one_or_none()
    if found is None:
        return None
    name = await c.scalar(text("SELECT name FROM account WHERE id = :id"), {"id": found.account_id})
    account = await named(store, c, str(name))
    return None if account is None or account.suspended else Link(account, store.secrets.open(found.totp).decode())


async def enrol(
    store: Store,
    c: Transaction,
    district: int,
    account: Account,
    password_hash: str,
    totp: str | None,
    step: int,
    codes: Sequence[str],
) -> None:
    """Set what proves that it is them, in place of whatever did before; what was open for them, and for programs in
    their name, ends: somebody else may have been in."""
    await c.execute(
        text(
            "UPDATE account SET password_hash = :hash, totp = :totp, totp_step = :step WHERE id = :id"
        ),
        {
            "hash": password_hash,
            "totp": None if totp is None else store.secrets.seal(totp.encode()),
            "step": step,
            "id": account.id,
        },
    )  # fmt: skip
    await c.execute(text("DELETE FROM recovery_code WHERE account_id = :id"), {"id": account.id})
    await c.execute(
        text(
            "INSERT INTO recovery_code (district_id, account_id, code_hash) "
            "SELECT :district, :id, j FROM json_array_elements_text(CAST(:hashes AS json)) j"
        ),
        {"district": district, "id": account.id, "hashes": json.dumps([fingerprint(code) for code in codes])},
    )
    await sessions.end(c, district, account.person, tokens=True)
    theirs = sessions.whoever(account.person)
    await log_act(c, district, theirs, "account-enrol", account.person, {"second_factor": totp is not None})


async def named(store: Store, c: Transaction, name: str) -> Account | None:
    """The account of that name in the transaction's district."""
    if "\0" in name:  # PostgreSQL takes every other character
        return None
    row = (
        await c.execute(
            text(
                "SELECT id, CAST(person_id AS text) AS person, name, password_hash, totp, "
                "  suspended_at IS NOT NULL AS suspended FROM account WHERE name = :name"
            ),
            {"name": name.strip().lower()},
        )
    ).one_or_none()
    if row is None:
        return None
    totp = None if row.totp is None else store.secrets.open(row.totp).decode()
    return Account(row.id, row.person, row.name, row.password_hash, totp, row.suspended)


def known_browser(store: Store, district: int, name: str) -> str:
    """What a browser shows at the next sign-in that this name has signed in with before: its tries are counted apart,
    so nobody keeps somebody out by being wrong in their name elsewhere. It opens nothing and says nothing."""
    nonce = secrets.token_urlsafe(16)
    return f"{nonce}.{store.marks.new('known-browser', str(district), nonce, name.strip().lower())}"


def _is_known(store: Store, district: int, name: str, browser: str) -> bool:
    nonce, _, shown = browser.partition(".")
    marks = store.marks.every("known-browser", str(district), nonce, name.strip().lower())
    return len(nonce) == 22 and any(hmac.compare_digest(mark.encode(), shown.encode()) for mark in marks)


async def may_try(store: Store, district: int, name: str, browser: str = "") -> bool:
    """Count a try at a name before it is looked at, over all processes; False where the name has to wait. It makes no
    difference whether there is such an account. A `browser` that the name is known by is counted by itself."""
    async with store.transaction(district) as c:
        await c.execute(text("DELETE FROM sign_in_try WHERE at < now() - interval '1 day'"))
        counted = await c.scalar(
            text(
                "INSERT INTO sign_in_try AS t (district_id, subject, failures, at, waits_until) "
                "VALUES (:district, :subject, 1, clock_timestamp(), clock_timestamp()) "
                "ON CONFLICT (district_id, subject) DO UPDATE SET failures = t.failures + 1, at = clock_timestamp(), "
                "waits_until = clock_timestamp() + make_interval(secs => CASE WHEN t.failures + 1 < :free THEN 0 "
                "  ELSE least(:first * power(2, least(t.failures + 1 - :free, 20)), :longest) END) "
                "WHERE t.waits_until <= clock_timestamp() RETURNING failures"
            ),
            {
                "district": district,
                "subject": _subject(store, district, name, browser),
                "free": FREE_TRIES,
                "first": FIRST_WAIT,
                "longest": LONGEST_WAIT,
            },
        )
    return counted is not None


async def succeeded(store: Store, c: Transaction, district: int, account: Account, browser: str = "") -> None:
    """Whoever proved who they are has no wrong tries behind them; those of others in their name stay counted."""
    subject = _subject(store, district, account.name, browser)
    await c.execute(text("DELETE FROM sign_in_try WHERE subject = :subject"), {"subject": subject})
    await c.execute(text("UPDATE account SET signed_in_at = now() WHERE id = :id"), {"id": account.id})


def _subject(store: Store, district: int, name: str, browser: str) -> str:
    apart = (browser,) if _is_known(store, district, name, browser) else ()
    return store.marks.new("sign-in", str(district), name.strip().lower(), *apart)


async def spend_step(c: Transaction, account: Account, step: int) -> bool:
    """Whether a code of this time step was never used before, in any process. # RFC 6238 5.2"""
    spent = text("UPDATE account SET totp_step = :step WHERE id = :id AND totp_step < :step RETURNING 1")
    return await c.scalar(spent, {"step": step, "id": account.id}) is not None


async def spend_recovery(c: Transaction, account: Account, code: str) -> bool:
    """Whether it is a recovery code of theirs that was never used before."""
    spent = text(
        "UPDATE recovery_code SET used_at = now() WHERE account_id = :id AND code_hash = :hash AND used_at IS NULL "
        "RETURNING 1"
    )
    return await c.scalar(spent, {"id": account.id, "hash": fingerprint(code)}) is not None


async def is_suspended(c: Transaction, person: str) -> bool:
    """Whether this person has an account that was suspended, however they come."""
    return bool(await c.scalar(text(f"SELECT {shut_out('CAST(:person AS uuid)')}"), {"person": person}))


async def suspend(store: Store, district: int, name: str, because: str, actor: Actor) -> None:
    """Shut somebody out until they are let in again; their sessions and tokens end at once."""
    if not because.strip():
        raise Refused("reason-missing", "To suspend an account needs a reason.", "Give --because.")
    async with store.transaction(district) as c:
        account = await _known(store, c, name)
        await c.execute(text("UPDATE account SET suspended_at = now() WHERE id = :id"), {"id": account.id})
        await sessions.end(c, district, account.person, tokens=True)
        await log_act(c, district, actor, "account-suspend", account.person, {"because": because})
        await standing.note_ended(store, c, district, standing.SUSPENDED_ACCOUNT, account.id, "", actor)


async def resume(store: Store, district: int, name: str, actor: Actor) -> None:
    """Let somebody in again, with nothing that was begun while they were shut out."""
    async with store.transaction(district) as c:
        account = await _known(store, c, name)
        await sessions.end(c, district, account.person, tokens=True)
        await c.execute(text("UPDATE account SET suspended_at = NULL WHERE id = :id"), {"id": account.id})
        await log_act(c, district, actor, "account-resume", account.person, {})
        await standing.let_in(store, c, account.name, actor)


async def reset_factor(store: Store, district: int, name: str, actor: Actor) -> str:
    """A link by which somebody sets password and second factor anew; what they had opens nothing from now on."""
    async with store.transaction(district) as c:
        account = await _known(store, c, name)
        await c.execute(text("UPDATE account SET password_hash = NULL, totp = NULL WHERE id = :id"), {"id": account.id})
        await c.execute(text("DELETE FROM recovery_code WHERE account_id = :id"), {"id": account.id})
        await sessions.end(c, district, account.person, tokens=True)
        await log_act(c, district, actor, "account-reset-factor", account.person, {})
        await standing.note_ended(store, c, district, standing.RESET_ACCOUNT, account.id, "", actor)
        return await _link(store, c, district, account.id)


async def _known(store: Store, c: Transaction, name: str) -> Account:
    account = await named(store, c, name)
    if account is None:
        raise ConfigError("account-unknown", "There is no account of this name.", "`planbridge accounts list`.")
    return account


async def known(store: Store, district: int, name: str) -> Account:
    """The account of that name. ConfigError where there is none."""
    async with store.transaction(district) as c:
        return await _known(store, c, name)


async def listed(store: Store, district: int) -> list[dict[str, Any]]:
    """The accounts: name, person, state, since when, open sessions, whether they have a second factor."""
    now: datetime = clock.now()
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT a.name, CAST(a.person_id AS text) AS person, CASE WHEN a.suspended_at IS NOT NULL "
                f"  THEN 'suspended' WHEN NOT {live('a.person_id')} THEN 'not on the roster' "
                "  WHEN a.password_hash IS NULL THEN 'invited' ELSE 'active' END AS state, "
                "  a.totp IS NOT NULL AS second_factor, a.created_at, a.signed_in_at, "
                "  (SELECT count(*) FROM session s WHERE s.person_id = a.person_id AND s.ends_at > :now) AS sessions "
                "FROM account a ORDER BY a.name"
            ),
            {"now": now, "today": clock.today().isoformat(), "district": district},
        )
        return [dict(row._mapping) for row in rows]
