"""How the application is put together: its routes, and what holds for every answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

import gateway
from gateway import jobs
from gateway.api import changes, crosswalks, identity, notices, oauth, plans, problems, rejects, runs, service
from gateway.api.envelope import Envelope
from gateway.settings import Settings
from gateway.store.database import Store

# FastAPI would send traces and logs wherever OTEL_* variables of the machine point; nothing of ours leaves it.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def app() -> FastAPI:
    """For uvicorn (`--factory`): settings from the environment, the store open for as long as it serves."""
    settings = Settings()

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        store = application.state.store = await Store.open(settings)
        # Should every worker be dead, somebody has to say so.
        watch = asyncio.create_task(jobs.watch(store, settings))
        yield
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await store.close()

    return _assembled(settings, lifespan)


def create_app(store: Store, settings: Settings) -> FastAPI:
    """The application over a store that is open already, and that the caller closes."""
    application = _assembled(settings)
    application.state.store = store
    return application


def _assembled(
    settings: Settings, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None
) -> FastAPI:
    # The interactive pages load scripts from a foreign server: only the OpenAPI document itself is served.
    application = FastAPI(
        title="Planbridge",
        version=gateway.__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    application.state.settings = settings
    for part in (service, oauth, runs, rejects, identity, crosswalks, notices, plans, changes):
        application.include_router(part.router)
    problems.install(application)
    application.add_middleware(Envelope)
    return application
