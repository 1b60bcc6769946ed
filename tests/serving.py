"""A real server on a real socket around an ASGI application, for as long as a with block lasts."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

PATIENCE = 1.0
"""Seconds that a request which is under way has to end, once the server is told to."""


class Server(uvicorn.Server):
    """It says when it is there and ends when it is told to: uvicorn's own looks ten times a second whether it was."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._there, self._told = threading.Event(), asyncio.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self._there.set()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._there.set()
        await self._told.wait()

    def wait(self) -> None:
        """Until it serves."""
        self._there.wait()
        if not self.started:
            raise RuntimeError("the server did not start")

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._told.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave no socket behind: the next test, which has nothing to do with it, would be told. Also not of somebody
        who connects at this very moment: what asyncio has accepted it forgets, if the server is closed before."""
        for listener in sockets or ():
            self._loop.remove_reader(listener)
        until = self._loop.time() + PATIENCE
        connections = self.server_state.connections
        while (self._under_way() or connections) and self._loop.time() < until:
            for connection in list(connections):
                connection.shutdown()
            await asyncio.sleep(0.001)
        for task in (late := self._under_way()):
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for connection in list(connections):
            connection.transport.abort()
        while connections:  # noqa: ASYNC110 they have no event to wait for
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    def _under_way(self) -> "set[asyncio.Task[Any]]":
        """Answers, and acceptances."""
        return asyncio.all_tasks() - {asyncio.current_task()}


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Serve `app` on a free loopback port and give its URL, without a slash at the end."""
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer waits 40 ms
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        # without a Date of its own, so that a twin whose clock is wrong sends one only
        server = Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", date_header=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        server.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.end()
            thread.join()
