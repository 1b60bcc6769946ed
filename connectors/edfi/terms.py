"""What a server asks of the records that are written to it: its shapes, its descriptors, its order."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from connectors.edfi.openapi import Offered, offered
from connectors.edfi.server import EdfiSettings, Server
from gateway.connector import Document, Judgement, Loss
from gateway.errors import ConfigError
from gateway.http import Http


class Terms:
    """The terms of one server, asked for as they are needed and kept for as long as it is open."""

    def __init__(self, server: Server, settings: EdfiSettings, http: Http) -> None:
        self._server = server
        self._settings = settings
        self._http = http
        self._there: dict[tuple[str, str], bool] = {}
        self._order: Mapping[str, int] | None = None
        self._offered: asyncio.Task[Offered | None] | None = None
        self._one = asyncio.Lock()  # hundreds of plans go side by side: what they all want to know is asked once

    async def judge(self, documents: Sequence[Document]) -> Judgement:
        """Every record against the server's own document, every descriptor against those it has. What the server would
        drop without a word, as a misspelt property, is a problem too; a text that is longer than it takes is left out
        and lost, never cut. Where a server tells less, less is looked at, and it will say itself what it refuses."""
        shapes = await self._shapes()
        kept: list[Document] = []
        losses: list[Loss] = []
        problems = list(_without_extension(documents, shapes))
        if problems:
            return Judgement(documents, problems)
        for document in documents:
            fitting, lost = _fitting(document, shapes) if shapes else (document, ())
            kept.append(fitting)
            losses += lost
            # What is merged into a record is no record: that one was taken by the server before.
            wrong = shapes.problems(fitting.resource, fitting.body) if shapes and not fitting.merge else ()
            problems += [f"{fitting.resource}: {problem}, says the server's own description." for problem in wrong]
        named = (
            (_served_as(name, one.resource, shapes), value) for one in kept for name, value in _descriptors(one.body)
        )
        for resource, value in dict.fromkeys(named):
            if not await self._has(resource, value):
                problems.append(_to_be_added(resource, value))
        return Judgement(await self._ordered(kept), tuple(dict.fromkeys(problems)), losses)

    async def extension(self, resource: str) -> tuple[Mapping[str, tuple[str, ...]], frozenset[str]]:
        """What identifies a record of an extension and where it stands, and the names such a record may have; nothing
        where the server has it no more. ConfigError `edfi-no-extension` where it shows no documents at all."""
        shapes = await self._shapes()
        if shapes is None:
            raise ConfigError("edfi-no-extension", _no(resource), _NO_EXTENSION)
        return shapes.identity(resource), shapes.properties(resource)

    async def _shapes(self) -> Offered | None:
        # Also that nothing can be had is found out once: else each of ten thousand records would ask for it again.
        self._offered = self._offered or asyncio.create_task(offered(self._server, self._settings))
        shapes = await asyncio.shield(self._offered)
        # A document that describes no write at all says nothing about any.
        return shapes if shapes and shapes.writable else None

    async def _has(self, resource: str, value: str) -> bool:
        """Whether a descriptor exists. True where the key may not look: then the server says it when it is used."""
        namespace, _, code = value.partition("#")
        async with self._one:
            if (resource, value) not in self._there:
                asked = {"namespace": namespace, "codeValue": code}
                reply = await self._http.get(self._server.collection(resource), asked)
                found = reply.json() if reply.status == 200 else None
                self._there[resource, value] = found is None or _is_there(found, namespace, code)
            return self._there[resource, value]

    async def _ordered(self, documents: Sequence[Document]) -> Sequence[Document]:
        """In the server's own order of dependencies; as they come where it tells none, or not of all of them."""
        async with self._one:
            if self._order is None:
                self._order = await self._dependencies()
            order = self._order
        if any(document.resource not in order for document in documents):
            return documents
        return sorted(documents, key=lambda document: order[document.resource])

    async def _dependencies(self) -> Mapping[str, int]:
        if not self._server.dependencies_url:
            return {}
        reply = await self._http.get(self._server.dependencies_url, headers={"Accept": "application/json"})
        try:
            listed = msgspec.json.decode(reply.body, type=list[_Dependency]) if reply.status == 200 else []
        except msgspec.DecodeError:
            return {}
        order: dict[str, int] = {}
        for one in listed:
            # Ed-Fi: from 6.1 on people come twice, to be created early and updated after what relates them to a school.
            if "Create" in one.operations:
                name = "/".join(one.resource.split("/")[-2:]).removeprefix("ed-fi/")
                order[name] = min(one.order, order.get(name, one.order))
        return order


def _without_extension(documents: Sequence[Document], shapes: Offered | None) -> Iterator[str]:
    """What is meant for an extension that the server does not show in its own document."""
    for resource in dict.fromkeys(one.resource for one in documents if "/" in one.resource):
        if shapes is None or not shapes.identity(resource):
            yield f"{_no(resource)} {_NO_EXTENSION}"


def _no(resource: str) -> str:
    return f"This server does not show {resource}, or what identifies it, in its OpenAPI documents."


_NO_EXTENSION = (
    "Ask its host to add the extension, as docs/edfi-extension says, or set extension=none in the delivery profile."
)


def _served_as(descriptors: str, resource: str, shapes: Offered | None) -> str:
    """The collection of a descriptor: an extension may have descriptors of its own."""
    own = f"{resource.partition('/')[0]}/{descriptors}"
    return own if "/" in resource and shapes and shapes.has(own) else descriptors


def _is_there(found: Sequence[Mapping[str, Any]], namespace: str, code: str) -> bool:
    """Whether a server's answer has this descriptor. Where others came, it does not know the filters: it cannot be told
    from one page, and the server says it when the descriptor is used. One in another spelling is not the same."""
    told = [(str(item.get("namespace")), str(item.get("codeValue"))) for item in found]
    asked = (namespace.casefold(), code.casefold())
    others = [one for one in told if (one[0].casefold(), one[1].casefold()) != asked]
    return (namespace, code) in told or bool(others)


class _Dependency(msgspec.Struct):
    resource: str
    order: int
    operations: tuple[str, ...] = ("Create", "Update")


def _fitting(document: Document, shapes: Offered) -> tuple[Document, Sequence[Loss]]:
    """The document without the texts that this server does not take, and what is lost by it."""
    resource, losses = document.resource, []
    for name, pointers in document.texts.items():
        without = {other: value for other, value in document.body.items() if other != name}
        if name in document.body and len(shapes.problems(resource, without)) < len(
            shapes.problems(resource, document.body)
        ):
            document = replace(document, body=without)
            why = f"This server does not take it as {name}: it is longer than the server allows, or not offered."
            losses += [Loss(pointer, "cannot", why) for pointer in pointers]
    return document, losses


def _descriptors(value: Any) -> Iterator[tuple[str, str]]:
    """Every descriptor in a body, with the resource that serves it. # Ed-Fi: a property is called as its descriptor."""
    for name, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(part, str) and str(name).endswith("Descriptor"):
            yield f"{name}s", part
        else:
            yield from _descriptors(part)


def _to_be_added(resource: str, value: str) -> str:
    """What to ask of the host, as the request that adds it."""
    namespace, _, code = value.partition("#")
    at = resource if "/" in resource else f"ed-fi/{resource}"
    request = {"codeValue": code, "namespace": namespace, "shortDescription": code[:75]}
    return (
        f"The server has no {value}. Ask its host to add it (POST {at} "
        f"{msgspec.json.encode(request).decode()}), or choose one it has in the delivery profile or the crosswalk."
    )
