"""How something becomes a job: in the transaction of what it is about."""

import procrastinate
from procrastinate.jobs import DEFAULT_QUEUE

from gateway.store.database import Transaction, raw


async def defer(
    c: Transaction,
    task: str,
    lock: str,
    waits: str | None = None,
    on: str = DEFAULT_QUEUE,
    priority: int = 0,
    **arguments: int,
) -> None:
    """In the caller's transaction: the job exists exactly if what it is about exists. `waits`: only one such waits;
    `on`: another queue than the usual one; `priority`: what has less comes after everything else that waits."""
    queue = procrastinate.App(connector=procrastinate.PsycopgConnector())
    connection = await raw(c)
    job = queue.configure_task(
        task, lock=lock, queueing_lock=waits, queue=on, priority=priority, connection=connection
    )  # fmt: skip
    await job.defer_async(**arguments)
