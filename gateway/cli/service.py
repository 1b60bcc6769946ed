"""Commands about the service itself: up, down, worker, api."""

import asyncio
import contextlib
import gc
import ipaddress
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psutil
import typer

from gateway import logs
from gateway.cli.output import STDOUT
from gateway.errors import ConfigError
from gateway.settings import Settings
from gateway.store.database import Store
from gateway.store.embedded import Embedded
from gateway.worker import watch, work

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

SUPERVISED = "PLANBRIDGE_SUPERVISOR"
PARTS = ("worker", "api")


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(worker)
    app.command(hidden=True)(api)


def up(
    port: Annotated[int | None, typer.Option(help="Port of the API.")] = None,
    host: Annotated[str | None, typer.Option(help="Address; beyond loopback only with TLS or a proxy.")] = None,
) -> None:
    """Start the gateway: the database, the API and a worker, and keep them running until stopped."""
    settings = with_address(Settings(), host, port)
    refuse_open_address(settings)
    children: dict[str, subprocess.Popen[bytes]] = {}
    with _listed(settings) as pids:
        _write(pids, children)  # preparing may take long, and `down` has to find who is at it
        asyncio.run(_prepare(settings))
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            for part in PARTS:
                children[part] = _start(part, settings)
            STDOUT.print(f"Planbridge is up: {settings.address} (stop: Ctrl-C)")
            while True:
                _write(pids, children)
                time.sleep(0.5)
                for part, child in children.items():
                    if child.poll() == ConfigError.exit_code:
                        raise ConfigError(
                            "part-stopped",
                            f"The {part} cannot go on until a person changes something; it said what.",
                            "Do that, then start again.",
                        )
                    if child.poll() is not None:
                        log.error("the %s ended with %s; it is started again", part, child.returncode)
                        time.sleep(1)
                        children[part] = _start(part, settings)
        except KeyboardInterrupt:
            STDOUT.print("Stopping.")
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _stop([psutil.Process(child.pid) for child in children.values() if child.poll() is None])
            if settings.database_url is None:
                Embedded(settings.home / "postgres").stop()


def down() -> None:
    """Stop everything of this home, also what a killed `up` left behind, and the embedded database."""
    settings = Settings()
    stopped = []
    for _ in range(2):  # the supervisor first: it ends its children itself
        found = _left(settings)
        stopped += found
        _stop(found[:1])
    _stop(_left(settings))
    (settings.home / "processes.json").unlink(missing_ok=True)
    server = settings.database_url is None and Embedded(settings.home / "postgres").stop()
    STDOUT.print("Planbridge is down." if stopped or server else "Nothing was running.")


def worker(
    until_empty: Annotated[bool, typer.Option(help="End when nothing is left to do.")] = False,
) -> None:
    """Work on queued runs and deliveries; start as many as you like, on any machine with the same database."""
    logs.tell()
    asyncio.run(_work(Settings(), until_empty))


def api() -> None:
    """Serve the API (started by `up`)."""
    logs.tell()
    settings = Settings()
    refuse_open_address(settings)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    import uvicorn  # a worker has better use for the memory it takes

    asyncio.get_running_loop().set_exception_handler(logs.lost)
    store = await Store.open(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            served(store, settings),
            host=settings.host,
            port=settings.port,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            proxy_headers=settings.trusted_proxy is not None,
            forwarded_allow_ips=settings.trusted_proxy,
            access_log=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=5,
        )
    )
    other_schema = asyncio.create_task(store.until_other_schema(settings.heartbeat_seconds))
    ends = [asyncio.create_task(_when_orphaned()), other_schema]
    for end in ends:
        end.add_done_callback(lambda _: setattr(server, "should_exit", True))
    # Should every worker be dead, somebody has to say so.
    side = [*ends, asyncio.create_task(watch(store, settings))]
    try:
        await server.serve()
        if other_schema.done():
            other_schema.result()
    finally:
        for task in side:
            task.cancel()
        await asyncio.gather(*side, return_exceptions=True)
        await store.close()


def with_address(settings: Settings, host: str | None, port: int | None) -> Settings:
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return settings.model_copy(update=given)


def refuse_open_address(settings: Settings) -> None:
    """Children's records do not cross a network in the clear."""
    try:
        loopback = ipaddress.ip_address(socket.gethostbyname(settings.host)).is_loopback
    except (OSError, ValueError):
        raise ConfigError("address-unknown", f"{settings.host} is no address of this machine.", "Correct it.") from None
    if not loopback and settings.tls_certificate is None and settings.trusted_proxy is None:
        raise ConfigError(
            "address-without-tls",
            f"{settings.host} can be reached from the network, and neither TLS nor a proxy is configured.",
            "Set PLANBRIDGE_TLS_CERTIFICATE and PLANBRIDGE_TLS_KEY, or name the proxy in PLANBRIDGE_TRUSTED_PROXY.",
        )


async def _prepare(settings: Settings) -> None:
    """Have the database started and migrated once, before anybody works on it."""
    await (await Store.open(settings)).close()


async def _work(settings: Settings, until_empty: bool) -> None:
    store = await Store.open(settings)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.lost)
    # Who presses Ctrl-C stops the supervisor and its children, and then the supervisor stops them: once is enough.
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    gc.freeze()  # what is loaded by now stays, and need not be looked through again and again
    working = asyncio.create_task(work(store, settings, until_empty=until_empty))
    told = [asyncio.create_task(stop.wait()), asyncio.create_task(_when_orphaned())]
    await asyncio.wait([working, *told], return_when=asyncio.FIRST_COMPLETED)
    for task in (working, *told):
        task.cancel()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await working
    finally:
        await store.close()


def served(store: Store, settings: Settings) -> "FastAPI":
    """All that is served: the API, and the console over it."""
    from gateway import console  # as above
    from gateway.api import create_app

    application = create_app(store, settings)
    console.install(application)
    return application


async def _when_orphaned() -> None:
    """Returns when the supervisor that started this process is gone."""
    supervisor = os.environ.get(SUPERVISED)
    while supervisor is None or os.getppid() == int(supervisor):  # noqa: ASYNC110 no event tells of it
        await asyncio.sleep(1)


def _start(part: str, settings: Settings) -> "subprocess.Popen[bytes]":
    environment = os.environ | {
        SUPERVISED: str(os.getpid()),
        "PLANBRIDGE_HOST": settings.host,
        "PLANBRIDGE_PORT": str(settings.port),
        "PLANBRIDGE_HOME": str(settings.home),
    }
    return subprocess.Popen([sys.executable, "-m", "gateway.cli", part], env=environment)  # noqa: S603 ourselves


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _listed(settings: Settings) -> Iterator[Path]:
    """Our processes stand in a file, so that `down` finds them after the worst."""
    pids = settings.home / "processes.json"
    if _left(settings):
        raise ConfigError("already-up", "Planbridge is up already in this home.", "`planbridge down` stops it.")
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        yield pids
    finally:
        pids.unlink(missing_ok=True)


def _write(pids: Path, children: "dict[str, subprocess.Popen[bytes]]") -> None:
    listed = []
    for pid in (os.getpid(), *(child.pid for child in children.values())):
        with contextlib.suppress(psutil.NoSuchProcess):
            listed.append([pid, psutil.Process(pid).create_time()])
    draft = pids.with_suffix(".new")
    draft.write_text(json.dumps(listed), encoding="ascii")
    draft.replace(pids)


def _left(settings: Settings) -> list[psutil.Process]:
    """Listed processes that still live, the supervisor first; a number that was given away again is not ours."""
    try:
        listed = json.loads((settings.home / "processes.json").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return []
    found = []
    for pid, created in listed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _stop(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=20)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
