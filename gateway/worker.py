"""The worker: it takes jobs off the queue, hands back what it has to leave, and takes over from workers that died."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import DEFAULT_QUEUE, Status

from gateway import dispatch, jobs, logs, notify
from gateway.jobs import NOTICES
from gateway.settings import Settings
from gateway.store import deliveries, retention, runs, workers
from gateway.store.database import APP_ROLE, DatabaseError, Store, is_full, is_lost

log = logging.getLogger(__name__)

FENCED_OUT = 75
"""Exit code of a worker that found its work taken over: it ends at once, touching nothing more."""


async def work(
    store: Store, settings: Settings, *, until_empty: bool = False, scheduled: bool = True, concurrency: int = 2
) -> None:
    """Work until cancelled, or until nothing is left to do. `scheduled`: also see to what is due. ConfigError when
    another version of the program has changed the database.

    Cancelled, it begins no new job, stages the pages that are on their way, and hands its jobs back. Cancel it once:
    it needs a few seconds for that.
    """
    app = queue(store, settings)
    async with app.open_async():
        every = settings.heartbeat_seconds
        side = [
            asyncio.create_task(_repeat(every, _take_over, app, store, settings)),
            asyncio.create_task(_repeat(600, retention.keep_hourly, store, settings)),
        ]
        if scheduled:
            await jobs.tick(store)
            side.append(asyncio.create_task(_repeat(every, jobs.tick, store)))
            side.append(asyncio.create_task(watch(store, settings)))
        worker = asyncio.create_task(
            app.run_worker_async(
                queues=[DEFAULT_QUEUE, NOTICES] if scheduled else [DEFAULT_QUEUE],
                concurrency=concurrency,
                install_signal_handlers=False,
                fetch_job_polling_interval=1.0,
                shutdown_graceful_timeout=0.0,  # seconds until its jobs are cancelled: they know how to end well
                update_heartbeat_interval=settings.heartbeat_seconds,
                stalled_worker_timeout=settings.takeover_seconds,
                delete_jobs="successful",
            )
        )
        ends = {worker, asyncio.create_task(store.until_other_schema(every))}
        if until_empty:
            ends.add(asyncio.create_task(_nothing_left(app)))
        try:
            over, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in over:
                end.result()
        except ConnectorException as error:
            if until_empty:
                raise
            # The queue refuses whom others took off its list of workers, as soon as it wakes; or it is lost.
            log.error("this worker was taken for dead, or lost its queue; it ends now: %s", logs.where(error))
            os._exit(FENCED_OUT)
        finally:
            for task in (*ends, *side):
                task.cancel()
            await asyncio.gather(*ends, *side, return_exceptions=True)


async def watch(store: Store, settings: Settings) -> None:
    """See to it that nothing stays unsaid, for as long as this process lives: every worker and the API do so."""
    await _repeat(settings.watch_seconds, notify.Watch(store, settings).round)


def queue(store: Store, settings: Settings) -> procrastinate.App:
    """The job engine over this database. Job arguments are ids only."""
    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=url, kwargs={"options": f"-c role={APP_ROLE}"}, min_size=1, max_size=4
        )
    )

    @app.task(name="run", pass_context=True, retry=HandBack())
    async def run_task(context: procrastinate.JobContext, district: int, run: int) -> None:
        with logs.about(**_ids(context.job), district=district, run=run):
            await _or_vanish(jobs.run_job, store, district, run)
            await tell(district)
            await jobs.project_due(store, district)

    @app.task(name="deliver", pass_context=True, retry=HandBack())
    async def deliver_task(context: procrastinate.JobContext, district: int, delivery: int) -> None:
        with logs.about(**_ids(context.job), district=district, delivery=delivery):
            await _or_vanish(dispatch.deliver_job, store, district, delivery)
            await tell(district)

    @app.task(name="look", pass_context=True, retry=HandBack())
    async def look_task(context: procrastinate.JobContext, district: int, connection: int) -> None:
        with logs.about(**_ids(context.job), district=district):
            await _or_vanish(jobs.look_job, store, district, connection)
            await tell(district)

    @app.task(name="recheck", pass_context=True, retry=HandBack())
    async def recheck_task(context: procrastinate.JobContext, district: int, connection: int) -> None:
        with logs.about(**_ids(context.job), district=district):
            await _or_vanish(jobs.recheck_job, store, district, connection)
            await tell(district)

    @app.task(name="project", pass_context=True, retry=HandBack())
    async def project_task(context: procrastinate.JobContext, district: int) -> None:
        with logs.about(job=context.job.id or 0, district=district):
            await _or_vanish(jobs.project_job, store, district)

    @app.task(name="notify", queue=NOTICES, pass_context=True, retry=HandBack())
    async def notify_task(context: procrastinate.JobContext, district: int) -> None:
        with logs.about(job=context.job.id or 0, district=district):
            await notify.tell_and_send(store, settings, district)

    @app.task(name="webhook", queue=NOTICES, pass_context=True, retry=HandBack())
    async def webhook_task(context: procrastinate.JobContext, district: int, webhook: int) -> None:
        async def send(store: Store, district: int) -> None:
            await jobs.send_events_job(store, district, webhook, settings.history_days)

        with logs.about(job=context.job.id or 0, district=district):
            await _or_vanish(send, store, district)

    async def tell(district: int) -> None:
        """In a job of its own: a slow mail server must not keep a connection's lock."""
        with contextlib.suppress(AlreadyEnqueued):
            await notify_task.configure(queueing_lock=f"notify/{district}").defer_async(district=district)

    return app


def _ids(job: procrastinate.jobs.Job) -> dict[str, int]:
    """A job's own number, and that of the connection, which its lock ends with."""
    return {"job": job.id or 0, "connection": int((job.lock or "/0").rpartition("/")[2])}


class HandBack(procrastinate.BaseRetryStrategy):
    """A job that its worker had to leave, because it was told to stop or must not touch this database any more, waits
    again for whoever is free, from now on. What a job itself does not do is its outcome, and no exception."""

    def get_retry_decision(
        self, *, exception: BaseException, job: procrastinate.jobs.Job
    ) -> procrastinate.RetryDecision | None:
        left = isinstance(exception, asyncio.CancelledError) or getattr(exception, "code", "") == "schema-changed"
        return procrastinate.RetryDecision() if left else None


async def _or_vanish(job: Callable[..., Awaitable[None]], store: Store, district: int, number: int = 0) -> None:
    """A worker whose work was taken over, or which lost its database, ends at once: whoever takes over goes on
    from what is staged. A statement the database refuses is our fault, and the job's end."""
    try:
        await store.refuse_other_schema()
        await (job(store, district, number) if number else job(store, district))
    except runs.Fenced:
        log.error("this worker was taken for dead and its work taken over; it ends now")
        os._exit(FENCED_OUT)
    except DatabaseError as error:
        if is_lost(error):
            why = "disk of the database is full" if is_full(error) else "database was lost"
            log.error("the %s; this worker ends now", why)
            os._exit(FENCED_OUT)
        log.error("%s %s met a fault of ours: %s", job.__name__, number or district, logs.where(error))
        if job is jobs.run_job:
            await runs.fail_for_our_fault(store, district, number, logs.where(error))
        elif job is dispatch.deliver_job:
            await deliveries.park(store, district, number, logs.where(error))


async def _nothing_left(app: procrastinate.App) -> None:
    """Returns when no job waits and none is being done."""
    waiting = app.job_manager.list_jobs_async
    while await waiting(status="todo") or await waiting(status="doing"):  # noqa: ASYNC110 no event tells of it
        await asyncio.sleep(0.5)


async def _repeat(seconds: float, act: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    while True:
        try:
            await act(*arguments)
        except Exception as error:
            log.warning("%s failed: %s", getattr(act, "__name__", "task"), logs.where(error))
        await asyncio.sleep(seconds)


async def _take_over(app: procrastinate.App, store: Store, settings: Settings) -> None:
    """Jobs of workers that fell silent are tried again. One that cannot be (its successor waits) ends as failed."""
    engine = app.job_manager
    async with workers.only_one(store, "take-over") as mine:
        # Two at once would try a job again that the other's worker has begun by then.
        for job in await engine.get_stalled_jobs(seconds_since_heartbeat=settings.takeover_seconds) if mine else ():
            log.warning("taking over job %s (%s) of a silent worker", job.id, job.task_name)
            try:
                await engine.retry_job(job)
            except AlreadyEnqueued:
                await engine.finish_job(job, status=Status.FAILED, delete_job=False)
