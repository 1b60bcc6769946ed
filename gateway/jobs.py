"""What can be asked for and becomes a job, what is due, what each job does, and what each error does to it."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Unpack

from procrastinate.exceptions import AlreadyEnqueued

from gateway import clock, delivery, dispatch, logs, looks, planning, rechecking, sync, verification
from gateway import webhooks as sending_events
from gateway.connected import refuse_paused, refuse_unread
from gateway.deferring import defer
from gateway.errors import AuthError, PlanbridgeError, Refused
from gateway.replay import Wanted
from gateway.store import (
    attention,
    blackouts,
    chain,
    districts,
    history,
    outcomes,
    payloads,
    quality,
    registers,
    runs,
    schedules,
    served,
    successions,
    verifications,
    webhooks,
    years,
)
from gateway.store import plans as stored_plans
from gateway.store.database import DatabaseError, Store, Transaction, is_lost
from gateway.store.registers import Actor, Connection
from gateway.store.runs import Mode, Verdict
from gateway.store.years import Seen
from gateway.year import Change

log = logging.getLogger(__name__)

NOTICES = "notices"
"""Only services work on this queue: who types a command may not have the settings of the mail server."""
SCHEDULE = Actor("schedule", "system")


async def request_pull(
    store: Store, district: int, name: str | int, actor: Actor, *, mode: Mode = "publish", whole: bool = False
) -> int:
    """Queue a run of a connection; `whole`: not only what changed is asked for. Refused while it is paused, in a
    blackout, or being pulled already; a dry run, which publishes nothing, is allowed in a blackout."""
    connection = await registers.connection(store, district, name)
    async with store.transaction(district) as c:
        return await _request_pull(c, connection, actor, mode, whole=whole)


async def _request_pull(
    c: Transaction, connection: Connection, actor: Actor, mode: Mode = "publish", *, whole: bool = False
) -> int:
    if connection.client is not None:
        raise Refused(
            "connection-written",
            f"{connection.name} is what a program writes here: there is nothing to pull.",
            "`planbridge runs` shows what it wrote.",
        )
    refuse_unread(connection)
    refuse_paused(connection)
    if mode == "publish" and not connection.shadow:
        await blackouts.refuse(c, connection.id, clock.now())
    return await request_run(c, connection.district, connection, actor, mode=mode, whole=whole)


async def request_run(
    c: Transaction, district: int, connection: Connection, actor: Actor, **wanted: Unpack[runs.Wanted]
) -> int:
    """Queue a run of any kind in the caller's transaction. Refused while one of this connection is under way, while the
    district is suspended, and where another connection has taken this one's place."""
    await districts.refuse_suspended(c, district)
    await successions.refuse_retired(c, connection.id)
    run = await runs.request(c, district, connection.id, actor, **wanted)
    if run is None:
        raise Refused(
            "run-under-way", f"{connection.name} is being pulled already.", "`planbridge runs` shows how far it is."
        )
    await defer(c, "run", f"connection/{connection.id}", district=district, run=run)
    return run


async def request_undo(
    store: Store, district: int, run: int, actor: Actor, because: str, *, mode: Mode = "publish"
) -> int:
    """Queue the undoing of a run and of every later one of its connection. Refused in a blackout, without a reason, or
    where there is nothing to undo."""
    if not because.strip() and mode == "publish":
        raise Refused("reason-missing", "Undoing a run needs a reason.", "Give --reason.")
    async with store.transaction(district) as c:
        found = await history.undoable(c, run)
        connection = await registers.connection_in(store, c, found.connection)
        if mode == "publish":
            await blackouts.refuse(c, connection.id, clock.now())
            detail = {"because": because, "runs": found.runs}
            await registers.log_act(c, district, actor, "undo", str(run), detail)
        return await request_run(c, district, connection, actor, kind="undo", mode=mode, undoes=found.runs)


async def request_replay(
    store: Store, connection: Connection, wanted: Wanted, actor: Actor, *, mode: Mode = "publish"
) -> int:
    """Queue the reading again of what is stored. Refused where nothing of it is, and, unless it only compares, while
    the connection is paused, in a blackout, or has a run that waits for a person: that run holds newer records."""
    async with store.transaction(connection.district) as c:
        meant = await payloads.extent(c, connection.id, wanted.selection)
        gone = sum(one.gone for one in meant)
        if not meant or sum(one.records + one.rejects for one in meant) == gone:
            raise Refused(
                "nothing-to-replay",
                f"{gone} records of {connection.name} are meant, but their payloads were purged."
                if gone
                else f"Nothing that is stored of {connection.name} is meant.",
                f"A whole pull reads everything again: planbridge pull {connection.name} --whole",
            )
        if mode == "publish":
            refuse_paused(connection)
            await blackouts.refuse(c, connection.id, clock.now())
            if held := await runs.held(c, connection.id):
                raise Refused(
                    "run-waits",
                    f"Run {held} of {connection.name} waits for a person.",
                    f"Decide about it first: planbridge holds show {held}",
                )
            detail = {"collections": {one.collection: one.records + one.rejects for one in meant}}
            await registers.log_act(c, connection.district, actor, "replay", connection.name, detail)
        proposal = wanted.as_stored()
        return await request_run(c, connection.district, connection, actor, kind="replay", mode=mode, proposal=proposal)


async def decide_hold(store: Store, district: int, run: int, verdict: Verdict, actor: Actor, because: str) -> None:
    """Approve a held run, wholly or for its additions alone, or refuse it. An approved one is resolved again, and
    asks again if it would differ. Refused in a blackout, unless it is to be refused."""
    async with store.transaction(district) as c:
        await _decide_hold(c, district, run, verdict, actor, because)


async def _decide_hold(c: Transaction, district: int, run: int, verdict: Verdict, actor: Actor, because: str) -> None:
    await districts.refuse_suspended(c, district)
    connection = await outcomes.decide(c, run, verdict, actor, because)
    if verdict != "refused":
        await blackouts.refuse(c, connection, clock.now())
        await defer(c, "run", f"connection/{connection}", district=district, run=run)


async def confirm_year(
    store: Store, connection: Connection, change: Change, seen: Seen, actor: Actor, because: str
) -> int:
    """Publish what a person was shown of a year change, with a reason: the run that is held, or a new one, which asks
    again where it would do something else. Refused where another run is held than the one that was shown."""
    if not because.strip():
        raise Refused("reason-missing", "To confirm a year change needs a reason.", "Give --because.")
    async with store.transaction(connection.district) as c:
        run = await runs.held(c, connection.id)
        now = await years.shown(c, run) if run is not None else None
        if now is not None and now.digest != seen.digest:
            raise Refused(
                "year-preview-old",
                f"{connection.name} would do something else now than it did in run {seen.run}.",
                "Look at it again: planbridge year preview",
            )
        if now is None:
            run = await _request_pull(c, connection, actor)
            await years.approve_unseen(c, connection.district, run, seen, actor, because)
        else:
            assert run is not None
            await _decide_hold(c, connection.district, run, "approved", actor, because)
        detail = {"connection": connection.name, "run": run, "because": because}
        await registers.log_act(c, connection.district, actor, "year-confirm", str(change.id), detail)
        await years.see(
            c, change, {key: one for key, one in (await years.seen(c, change)).items() if key != connection.id}
        )
    assert run is not None
    return run


async def switch(store: Store, connection: Connection, actor: Actor) -> int | None:
    """Let a connection take the place of the one it was made after: it leaves the shadow, and the run that is queued
    takes over all that one has, or is held. None where somebody else has just done so. Refused as any pull is."""
    async with store.transaction(connection.district) as c:
        if not await successions.begin(c, connection, actor):
            return None
        return await _request_pull(c, replace(connection, shadow=False), actor)


async def request_look(store: Store, district: int, destination: str, *, whole: bool = False) -> int:
    """Queue a look at what a destination has of what was delivered; returns the connection. Refused while it rests."""
    found = await registers.connection(store, district, destination)
    refuse_paused(found)
    async with store.transaction(district) as c:
        await districts.refuse_suspended(c, district)
        await verifications.ask(c, district, found.id, whole=whole)
        await defer(c, "look", f"destination/{found.id}", district=district, connection=found.id)
    return found.id


async def tick(store: Store) -> None:
    """Queue a run for every connection whose time has come, in all districts. Any number of workers may tick at once:
    each schedule is dealt with by one of them. Who is to take another connection's place today does so first."""
    for district, connection in await successions.due(store, clock.now()):
        with logs.about(district=district, connection=connection):
            try:
                run = await switch(store, await registers.connection(store, district, connection), SCHEDULE)
                log.info("its day to take another one's place has come: run %s", run)
            except Refused:  # while it is paused, in a blackout or under way: tried again with the next tick
                continue
            except Exception as error:  # one connection's trouble is not the others'
                log.error("the change of a connection met a fault of ours: %s", logs.where(error))
    for district, plan in await stored_plans.due(store, clock.today()):
        try:
            await planning.pass_time(store, district, plan)
        except Exception as error:  # one plan's trouble is not the others'
            log.error("the passing of time met a fault of ours: %s", logs.where(error))
    await _look_over_plans(store)
    await dispatch.due(store)
    await looks.queue_due(store)
    for district, connection in await schedules.due(store):
        with logs.about(district=district, connection=connection):
            try:
                await _pull_due(store, await registers.connection(store, district, connection))
            except Exception as error:  # one connection's trouble is not the others'
                log.error("the schedule met a fault of ours: %s", logs.where(error))
    await project_due(store)
    await _send_events(store)
    await seal(store)


async def project_due(store: Store, only: int | None = None) -> None:
    """Queue the projection of every district, or of one, that has published since what is served was made."""
    for district in await served.due(store):
        if only in (None, district):
            with suppress(AlreadyEnqueued):
                async with store.transaction(district) as c:
                    await defer(c, "project", lock := f"project/{district}", lock, district=district)


async def project_job(store: Store, district: int) -> None:
    """Bring what a district serves up to what it has published. Where it fails, it is tried again later."""
    try:
        # What it speaks by is megabytes, and many districts serve nobody.
        from gateway import projections

        done = await projections.follow(store, district)
        log.info("what is served follows: %s rows", sum(done.rows.values()))
    except Exception as error:
        if isinstance(error, DatabaseError) and is_lost(error):
            raise
        log.error("what is served met a fault of ours: %s", logs.where(error))
        await served.note_failure(store, district)


async def _send_events(store: Store) -> None:
    """Queue a job for every webhook that has something to be sent, unless one waits."""
    for district, webhook in await webhooks.due(store):
        with logs.about(district=district), suppress(AlreadyEnqueued):
            async with store.transaction(district) as c:
                # How long it takes is in the receiver's hands: whatever else there is to do goes first.
                lock = f"webhook/{webhook}"
                await defer(c, "webhook", lock, lock, NOTICES, -1, webhook=webhook, district=district)


async def send_events_job(store: Store, district: int, webhook: int, days: int) -> None:
    """Send what is due to a webhook. `days`: so long what the feed is made of is kept."""
    try:
        await sending_events.work(store, district, webhook, days)
    except Exception as error:
        if isinstance(error, DatabaseError) and is_lost(error):
            raise
        log.error("webhook %s met a fault of ours: %s", webhook, logs.where(error))


async def seal(store: Store) -> None:
    """Take what was done since the last tick into each district's chain of acts."""
    for district in await chain.waiting(store):
        with logs.about(district=district):
            try:
                async with store.transaction(district) as c:
                    await chain.seal(c, district)
            except Exception as error:  # one district's trouble is not the others'
                log.error("the sealing of acts met a fault of ours: %s", logs.where(error))


async def _look_over_plans(store: Store) -> None:
    """Once a day: days come in plans without a run."""
    for district in await attention.due(store, today := clock.today()):
        with logs.about(district=district):
            try:
                found = await attention.look_today(store, district, today)
            except Exception as error:  # one district's trouble is not the others'
                if isinstance(error, DatabaseError) and is_lost(error):
                    raise
                log.error("the look over plans met a fault of ours: %s", logs.where(error))
            else:
                if found is not None:
                    log.info("the plans were looked over: %s wait anew", sum(found.values()))


async def _pull_due(store: Store, connection: Connection) -> None:
    async with store.transaction(connection.district) as c:
        due = await schedules.claim(c, connection.id)
        if due is None:
            return
        if not due.schedule.is_open(due.now):
            await schedules.postpone(c, due, due.schedule.opening(due.now))
            return
        run, skipped = None, None
        try:
            # It takes the place of a run that is held: a source that was mended meanwhile needs no decision.
            run = await _request_pull(c, connection, SCHEDULE)
        except Refused as refusal:
            skipped = refusal.code
        await schedules.settle(c, due, run=run, skipped=skipped)
    log.info("due at %s: %s", due.due_at.isoformat(), skipped or f"run {run}")


async def run_job(store: Store, district: int, run: int) -> None:
    """Carry out one run. Errors of the tree are the run's outcome, written down; they are not the job's."""
    log.info("run %s begins, or goes on", run)
    try:
        outcome = await sync.run(store, district, run)
        log.info("run %s ended: %s", run, outcome.state if outcome else "by somebody else")
        await check_quality(store, district, run)
        if outcome and outcome.state == "published":
            await _afterwards(_push_again, store, district, run)
    except AuthError as error:
        await runs.pause_connection(store, district, run, str(error))
    except PlanbridgeError as error:
        log.warning("run %s ended: %s", run, error.code)
    except (runs.Fenced, DatabaseError):
        raise
    except Exception as error:
        log.error("run %s met a fault of ours: %s", run, logs.where(error))
        await runs.fail_for_our_fault(store, district, run, logs.where(error))


async def check_quality(store: Store, district: int, run: int) -> None:
    """Look over what a run has published, unless that was done. Whatever becomes of it: the run is published."""
    await _afterwards(_check_quality, store, district, run)


async def _check_quality(store: Store, district: int, run: int) -> None:
    async with store.transaction(district) as c:
        await quality.check(c, district, run, clock.today())


async def _push_again(store: Store, district: int, run: int) -> None:
    """Deliveries to the run's connection that waited for something there have their second pass, one with each run."""
    async with store.transaction(district) as c:
        [found] = await runs.summary(c, run=run)
    connection = await registers.connection(store, district, found["connection"])
    for number in await delivery.again(store, connection, dispatch.deliver_next(district)):
        log.info("delivery %s has a second pass", number)


async def _afterwards(act: Callable[[Store, int, int], Awaitable[None]], store: Store, district: int, run: int) -> None:
    try:
        await act(store, district, run)
    except Exception as error:
        if isinstance(error, DatabaseError) and is_lost(error):
            raise
        log.error("%s after run %s met a fault of ours: %s", act.__name__, run, logs.where(error))


async def look_job(store: Store, district: int, connection: int) -> None:
    """Look at what a destination has of what was delivered."""
    await verification.look(store, district, connection, dispatch.deliver_next(district))


async def recheck_job(store: Store, district: int, connection: int) -> None:
    """Judge anew what a destination has, where something changed by which it was judged."""
    found = await rechecking.look(store, district, connection, dispatch.deliver_next(district))
    if found:
        log.info("looked again at what a destination has: %s", ", ".join(f"{n} {what}" for what, n in found.items()))
