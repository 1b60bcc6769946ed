"""A Canvas being written to: a few invented people in it, a sink that talks to it over a socket, documents for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette

from connectors.canvas import CONNECTOR
from connectors.canvas.settings import CanvasSettings
from connectors.canvas.sink import CanvasSink
from connectors.canvas.twin import World
from connectors.canvas.twin_world import Course, User
from gateway.connector import Document
from gateway.http import Http, MemoryTokens
from tests.serving import serve

PLAN = "00000000-0000-4000-8000-000000000077"
MARKER = f"urn:uuid:{PLAN}"
WORDS = "planted: reads aloud"


@dataclass
class School:
    """One homeroom, one course that is not open yet, and all sorts of people in them."""

    world: World
    homeroom: Course
    closed: Course
    child: User
    classmate: User
    teacher: User
    aide: User
    parent: User
    other_parent: User
    stranger: User


def school() -> School:
    world = World()
    homeroom = world.course("Homeroom 5A", "HR/5A é")
    closed = world.course("Next year", "HR-6A", state="unpublished")
    child, classmate = world.person("Ada Planted", "00/12 ü"), world.person("Ben Other", "0013")
    teacher, aide = world.person("Tia Teacher", "T1"), world.person("Tom Aide", "T2")
    parent, other_parent, stranger = (world.person(name) for name in ("Pia Planted", "Otto Other", "Sam Stranger"))
    for course in (homeroom, closed):
        world.enroll(course, child, "StudentEnrollment")
        world.enroll(course, teacher, "TeacherEnrollment")
    world.enroll(homeroom, classmate, "StudentEnrollment")
    world.enroll(homeroom, aide, "TaEnrollment")
    world.observe(parent, child)
    world.observe(other_parent, classmate)
    return School(world, homeroom, closed, child, classmate, teacher, aide, parent, other_parent, stranger)


def assignment(course: str = "HR/5A é", words: str = WORDS, student: str = "00/12 ü", **more: Any) -> Document:
    link = f'<a href="https://planbridge.example.org/plans/{PLAN}" title="{MARKER}">The plan</a>'
    body: dict[str, Any] = {"student": student, "name": "Student success plan"}
    body |= {"description": f"<h3>Goals</h3><p>{words}</p><p>{link}</p>", "due_at": None, "lock_at": None}
    return Document("assignments", {"plan": PLAN, "course": course}, body | more, after=())


def column(course: str = "HR/5A é") -> Document:
    title = {"title": "Success plan"}
    return Document("gradebook_columns", {"course": course} | title, title, create_only=True, after=())


def cell(course: str = "HR/5A é", student: str = "00/12 ü", content: str = f"Success plan: planted {PLAN}") -> Document:
    key = {"plan": PLAN, "course": course, "title": "Success plan"}
    body = {"student": student, "content": content}
    return Document("gradebook_cells", key, body, after=(column(course).name,))


def taken(document: Document) -> Document:
    """As the ledger knows it: by its key."""
    return Document(document.resource, document.key, {})


@asynccontextmanager
async def opened(app: Starlette, **given: Any) -> AsyncIterator[CanvasSink]:
    """A sink that talks to `app` over a socket."""
    with serve(app) as base:
        async with talking(base, **given) as sink:
            yield sink


@asynccontextmanager
async def talking(base: str, tokens: MemoryTokens | None = None, **given: Any) -> AsyncIterator[CanvasSink]:
    settings = configured(base, **given)
    auth = CONNECTOR.auth(settings)
    async with Http(auth, tokens=tokens or MemoryTokens(), network=settings.network, attempts=3, timeout=5) as http:
        assert CONNECTOR.open_sink is not None
        sink = await CONNECTOR.open_sink(settings, http)
        assert isinstance(sink, CanvasSink)
        yield sink
        await sink.close()


def configured(base: str, **given: Any) -> CanvasSettings:
    ways = given or {"access_token": "demo-token"}
    return CanvasSettings.model_validate({"base_url": base, "allow_private": True} | ways)
