"""A real server on a real socket around an ASGI application, for as long as a with block lasts."""

import gc
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Serve `app` on a free loopback port and give its URL, without a slash at the end."""
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer waits 40 ms
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        # without a Date of its own, so that a twin whose clock is wrong sends one only
        config = uvicorn.Config(
            app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1, date_header=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            visited = bool(server.server_state.connections)
            server.should_exit = True
            thread.join()
            # Who connects at this very moment is accepted by asyncio and forgotten with the loop. The socket is ours,
            # and must not be found by the next test that has nothing to do with it. Where nobody is left, none will
            # come: to look through all that a process of tests has kept would cost more than most of its tests.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                while gc.collect(2 if visited else 1):
                    pass
