"""How the application is put together: its routes, and what holds for every answer."""

from ipaddress import ip_address

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.telemetry import TelemetryConfig

import gateway
from gateway.api import (
    authorize,
    changes,
    crosswalks,
    deliveries,
    delivering,
    described,
    documents,
    doorway,
    events,
    firstlink,
    identity,
    lti,
    notices,
    oauth,
    oneroster,
    plans,
    problems,
    quality,
    records,
    rejects,
    results,
    runs,
    sandbox,
    service,
    signin,
    students,
    vendors,
    webhooks,
)
from gateway.api.envelope import Envelope
from gateway.api.idempotency import Once
from gateway.http import Network
from gateway.sandbox import SYSTEM_PATH
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
        generate_unique_id_function=described.operation_id,
    )
    application.state.settings = settings
    application.state.network = (
        Network()
    )  # of what we ask for because a caller's client says so: public addresses alone
    # First: what is asked most, and the framework tries one route after the other.
    application.mount(oneroster.ROOT, oneroster.provider(application, only_encrypted))
    for part in (
        service,
        oauth,
        runs,
        quality,
        rejects,
        identity,
        crosswalks,
        notices,
        plans,
        delivering,
        deliveries,
        changes,
        events,
        webhooks,
        firstlink,
        signin,
        authorize,
        results,
        students,
        records,
        vendors,
        sandbox,
        documents,
        doorway,
        lti,
    ):
        application.include_router(part.router)
    application.mount(SYSTEM_PATH, sandbox.Systems(application, only_encrypted))
    problems.install(application)
    described.install(application)
    application.add_middleware(Once)
    application.add_middleware(Envelope)
    return application


FORWARDED = {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}


async def only_encrypted(request: Request) -> None:
    """What crossed a network crossed it encrypted: by TLS of our own, or to a proxy that is named and says so. A
    caller on this machine, such as a monitor, crosses none; one that was forwarded came from elsewhere, whatever
    address it names, and a proxy that nobody named is not believed."""
    if request.url.scheme == "https":
        return
    settings: Settings = request.app.state.settings
    if not FORWARDED.isdisjoint(request.headers) or (settings.trusted_proxy is not None and not _is_here(request)):
        raise HTTPException(
            403,
            "Come by https, through a proxy that PLANBRIDGE_TRUSTED_PROXY names; the proxy must say so in "
            "X-Forwarded-Proto.",
        )


def _is_here(request: Request) -> bool:
    return request.client is not None and ip_address(request.client.host).is_loopback
