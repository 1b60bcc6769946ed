"""The queue and the worker: which job does what, what each error does to a job, who takes over from the dead."""

import asyncio
import logging
import os
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Unpack

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Status

from gateway import clock, delivery, sync
from gateway.errors import AuthError, PlanbridgeError, Refused
from gateway.settings import Settings
from gateway.store import blackouts, deliveries, registers, retention, runs
from gateway.store.database import APP_ROLE, DatabaseError, Store, Transaction, is_lost, raw
from gateway.store.registers import Actor, Connection
from gateway.store.runs import Mode, Verdict

log = logging.getLogger(__name__)

OUR_FAULT = "This is a fault of Planbridge; please report it."
FENCED_OUT = 75
"""Exit code of a worker that found its work taken over: it ends at once, touching nothing more."""


async def request_pull(store: Store, district: int, name: str | int, actor: Actor, *, mode: Mode = "publish") -> int:
    """Queue a run of a connection. Refused while it is paused, in a blackout, or being pulled already; a dry run, which
    publishes nothing, is allowed in a blackout."""
    connection = await registers.connection(store, district, name)
    refuse_paused(connection)
    async with store.transaction(district) as c:
        if mode == "publish" and not connection.shadow:
            await blackouts.refuse(c, connection.id, clock.now())
        return await request_run(c, district, connection, actor, mode=mode)


async def request_run(
    c: Transaction, district: int, connection: Connection, actor: Actor, **wanted: Unpack[runs.Wanted]
) -> int:
    """Queue a run of any kind in the caller's transaction. Refused while one of this connection is under way."""
    run = await runs.request(c, district, connection.id, actor, **wanted)
    if run is None:
        raise Refused(
            "run-under-way", f"{connection.name} is being pulled already.", "`planbridge runs` shows how far it is."
        )
    await _defer(c, "run", f"connection/{connection.id}", district=district, run=run)
    return run


def refuse_paused(connection: Connection) -> None:
    """A connection rests until a person has mended what it was paused for."""
    if connection.paused_because:
        lift = "check" if connection.paused_code == "credentials" else "connections resume"
        raise Refused(
            "connection-paused",
            f"{connection.name} is paused: {connection.paused_because}",
            f"Mend it, then lift the pause: planbridge {lift} {connection.name}",
        )


async def decide_hold(store: Store, district: int, run: int, verdict: Verdict, actor: Actor, because: str) -> None:
    """Approve a held run, wholly or for its additions alone, or refuse it. An approved one is resolved again, and
    asks again if it would differ. Refused in a blackout, unless it is to be refused."""
    async with store.transaction(district) as c:
        connection = await runs.decide(c, run, verdict, actor, because)
        if verdict != "refused":
            await blackouts.refuse(c, connection, clock.now())
            await _defer(c, "run", f"connection/{connection}", district=district, run=run)


async def request_push(store: Store, district: int, plan: str, destination: str, actor: Actor) -> int:
    """Queue a delivery of a plan's newest version; one at a time goes to each destination."""
    found = await registers.connection(store, district, destination)
    refuse_paused(found)
    async with store.transaction(district) as c:
        await blackouts.refuse(c, found.id, clock.now())

    async def with_job(c: Transaction, number: int, connection: int) -> None:
        await _defer(c, "deliver", f"destination/{connection}", district=district, delivery=number)

    number, _ = await delivery.request(store, district, plan, destination, actor, also=with_job)
    return number


async def _defer(c: Transaction, task: str, lock: str, **arguments: int) -> None:
    """In the caller's transaction: the job exists exactly if what it is about exists."""
    queue = procrastinate.App(connector=procrastinate.PsycopgConnector())
    await queue.configure_task(task, lock=lock, connection=await raw(c)).defer_async(**arguments)


async def run_job(store: Store, district: int, run: int) -> None:
    """Carry out one run. Errors of the tree are the run's outcome, written down; they are not the job's."""
    try:
        await sync.run(store, district, run)
    except AuthError as error:
        await runs.pause_connection(store, district, run, str(error))
    except PlanbridgeError as error:
        log.warning("run %s ended: %s", run, error.code)
    except (runs.Fenced, DatabaseError):
        raise
    except Exception as error:
        log.error("run %s met a fault of ours: %s", run, _where(error))
        await runs.fail_for_our_fault(store, district, run, _where(error))


async def deliver_job(store: Store, district: int, delivery_id: int) -> None:
    """Carry out one delivery; a refusal or an outage parks it with its reason."""
    try:
        await delivery.deliver(store, district, delivery_id)
    except PlanbridgeError as error:
        if isinstance(error, AuthError):
            await deliveries.pause_destination(store, district, delivery_id, str(error))
        await deliveries.park(store, district, delivery_id, str(error))
    except (runs.Fenced, DatabaseError):
        raise
    except Exception as error:
        log.error("delivery %s met a fault of ours: %s", delivery_id, _where(error))
        await deliveries.park(store, district, delivery_id, f"{OUR_FAULT} ({_where(error)})")


def _where(error: BaseException) -> str:
    """The kind of an unexpected error and the places it passed: never its message, which may quote a record."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "site-packages" not in frame.filename]
    return f"{type(error).__name__} at {' > '.join(ours[-4:])}"


def queue(store: Store) -> procrastinate.App:
    """The job engine over this database. Job arguments are ids only."""
    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=url, kwargs={"options": f"-c role={APP_ROLE}"}, min_size=1, max_size=4
        )
    )

    @app.task(name="run")
    async def run_task(district: int, run: int) -> None:
        await _or_vanish(run_job, store, district, run)

    @app.task(name="deliver")
    async def deliver_task(district: int, delivery: int) -> None:
        await _or_vanish(deliver_job, store, district, delivery)

    return app


async def _or_vanish(
    job: Callable[[Store, int, int], Awaitable[None]], store: Store, district: int, number: int
) -> None:
    """A worker whose work was taken over, or which lost its database, ends at once: whoever takes over goes on
    from what is staged. A statement the database refuses is our fault, and the job's end."""
    try:
        await job(store, district, number)
    except runs.Fenced:
        log.error("this worker was taken for dead and its work taken over; it ends now")
        os._exit(FENCED_OUT)
    except DatabaseError as error:
        if is_lost(error):
            log.error("the database was lost; this worker ends now")
            os._exit(FENCED_OUT)
        log.error("%s %s met a fault of ours: %s", job.__name__, number, _where(error))
        end = runs.fail_for_our_fault if job is run_job else deliveries.park
        await end(store, district, number, _where(error))


async def work(store: Store, settings: Settings, *, until_empty: bool = False, concurrency: int = 2) -> None:
    """Work until cancelled, or until nothing is left to do."""
    app = queue(store)
    async with app.open_async():
        side = [
            asyncio.create_task(_repeat(settings.heartbeat_seconds, _take_over, app, settings)),
            asyncio.create_task(_repeat(3600, retention.purge_payloads, store, settings.payload_days)),
        ]
        try:
            await app.run_worker_async(
                wait=not until_empty,
                concurrency=concurrency,
                install_signal_handlers=False,
                listen_notify=not until_empty,
                fetch_job_polling_interval=1.0,
                update_heartbeat_interval=settings.heartbeat_seconds,
                stalled_worker_timeout=settings.takeover_seconds,
                delete_jobs="successful",
            )
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)


async def _repeat(seconds: float, act: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    while True:
        try:
            await act(*arguments)
        except Exception as error:
            log.warning("%s failed: %s", getattr(act, "__name__", "task"), type(error).__name__)
        await asyncio.sleep(seconds)


async def _take_over(app: procrastinate.App, settings: Settings) -> None:
    """Jobs of workers that fell silent are tried again. One that cannot be (its successor waits) ends as failed."""
    manager = app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=settings.takeover_seconds):
        log.warning("taking over job %s (%s) of a silent worker", job.id, job.task_name)
        try:
            await manager.retry_job(job)
        except AlreadyEnqueued:
            await manager.finish_job(job, status=Status.FAILED, delete_job=False)
