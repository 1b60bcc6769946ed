"""How the application is put together: its routes, and what holds for every answer."""

from ipaddress import ip_address

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.telemetry import TelemetryConfig

import gateway
from gateway.api import (
    changes,
    crosswalks,
    firstlink,
    identity,
    notices,
    oauth,
    plans,
    problems,
    rejects,
    runs,
    service,
)
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


def create_app(store: Store, settings: Settings) -> FastAPI:
    """The application over a store that is open already, and that the caller closes."""
    application = assembled(settings)
    application.state.store = store
    return application


def assembled(settings: Settings) -> FastAPI:
    """The application before it has a store."""
    # The interactive pages load scripts from a foreign server: only the OpenAPI document itself is served.
    application = FastAPI(
        title="Planbridge",
        version=gateway.__version__,
        docs_url=None,
        servers=[{"url": settings.public_url}] if settings.public_url else None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
        dependencies=[Depends(only_encrypted)],
    )
    application.state.settings = settings
    for part in (service, oauth, runs, rejects, identity, crosswalks, notices, plans, changes, firstlink):
        application.include_router(part.router)
    problems.install(application)
    application.add_middleware(Envelope)
    return application


async def only_encrypted(request: Request) -> None:
    """Where a proxy ends TLS, nobody goes past it, and it says that the line to it was encrypted. A caller on this
    machine, such as a monitor, crosses no network."""
    settings: Settings = request.app.state.settings
    if settings.trusted_proxy is None or settings.tls_certificate is not None or request.url.scheme == "https":
        return
    if request.client is None or not ip_address(request.client.host).is_loopback:
        raise HTTPException(403, "Come through the proxy, by https; the proxy must say so in X-Forwarded-Proto.")
