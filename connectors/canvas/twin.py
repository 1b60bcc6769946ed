"""A small server that behaves like a Canvas playing the invented district."""

import os
from dataclasses import dataclass, field, fields
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.canvas.twin_api import Api, Quirks
from connectors.canvas.twin_door import Bucket, Door
from connectors.canvas.twin_world import World, world
from synthetic import District, build
from synthetic.damage import Answer, cut
from synthetic.faults import Faults

__all__ = ["World", "app", "twin", "world"]


def twin(
    district: District | None = None,
    *,
    holds: World | None = None,
    client_id: str = "10000000000001",
    client_secret: str = "demo-secret",  # noqa: S107  a twin guards nothing
    token: str = "demo-token",  # noqa: S107
    token_seconds: int = 3600,
    control: bool = True,
    **switches: Any,
) -> Starlette:
    """An ASGI application with the people and courses of `district`, or with what `holds` says.

    Each of `switches` is a field of `Quirks` or of `Bucket`. `app.state.world` is what it holds, and who sees what of
    that (`visible_to`); `app.state.door` and `app.state.bucket` count; `app.state.heard` has the requests, and loses as
    many answers as it is told. `control` opens the side door of `synthetic.faults`.
    """
    played = district or build(schools=1, students=0)
    held = holds or world(played)
    door = Door(client_id, client_secret, token, token_seconds)
    names = {one.name for one in fields(Quirks)}
    quirks = Quirks(**{name: value for name, value in switches.items() if name in names})
    bucket = Bucket(**{name: value for name, value in switches.items() if name not in names})
    heard = Heard()
    made = Starlette(
        routes=Api(held, door, bucket, quirks).routes(),
        middleware=[
            Middleware(
                Faults,
                district=played,
                play=lambda changed: None,
                error=lambda status: {"errors": [{"message": "An error occurred."}]},
                tokens=door,
                control=control,
            ),
            Middleware(_Losing, heard=heard),
        ],
    )
    made.state.world, made.state.door, made.state.bucket, made.state.quirks = held, door, bucket, quirks
    made.state.heard = heard
    return made


@dataclass
class Heard:
    """What was asked, as (method, path with query, body); and how many answers to writes are still to be lost after
    they were carried out."""

    requests: list[tuple[str, str, str]] = field(default_factory=list)
    lose_answers: int = 0


class _Losing:
    """ASGI middleware that listens, and loses answers."""

    def __init__(self, app: ASGIApp, *, heard: Heard) -> None:
        self._app = app
        self._heard = heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        heard, whole = self._heard, {"type": "http.request", "body": body, "more_body": False}
        query = scope["query_string"].decode("latin-1")
        heard.requests.append((scope["method"], f"{scope['raw_path'].decode()}?{query}", body.decode()))

        async def again() -> Any:
            return whole

        if heard.lose_answers and scope["method"] != "GET" and "/api/" in scope["path"]:
            heard.lose_answers -= 1
            await cut(await Answer.of(self._app, scope, again), send, honest=False)
        else:
            await self._app(scope, again, send)


def app() -> Starlette:
    """The twin as `uvicorn --factory` wants it, sized and named by TWIN_* in the environment."""
    take = os.environ.get
    district = build(
        schools=int(take("TWIN_SCHOOLS", "3")),
        students=int(take("TWIN_STUDENTS", "600")),
        seed=int(take("TWIN_SEED", "2026")),
    )
    return twin(
        district,
        client_id=take("TWIN_CLIENT_ID", "10000000000001"),
        client_secret=take("TWIN_CLIENT_SECRET", "demo-secret"),
        token=take("TWIN_TOKEN", "demo-token"),
    )
