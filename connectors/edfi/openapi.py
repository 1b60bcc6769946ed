"""What a server offers by its own OpenAPI documents: resources, key fields, filters, page sizes, forms of records."""

import asyncio
import hashlib
import logging
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from connectors.edfi.keys import natural_key
from connectors.edfi.record import Schema, following, wrong_with
from connectors.edfi.server import EdfiSettings, Server
from gateway.errors import ConfigError, PlanbridgeError
from gateway.http import Http, MemoryTokens, same_origin

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offered:
    """What one server offers. A resource is named as in its address, `ed-fi/students`; without a namespace, `ed-fi`
    is meant. Nothing here asks the server again."""

    _collections: Mapping[str, "_Collection"] = field(repr=False)

    @cached_property
    def resources(self) -> frozenset[str]:
        """Every collection with a path of its own, descriptors included where their document was read."""
        return frozenset(self._collections)

    @cached_property
    def writable(self) -> frozenset[str]:
        """Those of the resources that take a POST, or of which the document tells nothing but that they are."""
        return frozenset(name for name, found in self._collections.items() if found.body is not None or found.bare)

    def has(self, resource: str) -> bool:
        return _path(resource) in self._collections

    def identity(self, resource: str) -> Mapping[str, tuple[str, ...]]:
        """The natural key: for each query name of a key field, where the field stands in a record. Empty where neither
        the document nor our own table says what the key is.

        `{"programName": ("programReference", "programName"), "beginDate": ("beginDate",), ...}`
        """
        found = self._collections.get(_path(resource))
        if found is None:
            return {}
        five = "ed-fi/parents" not in self._collections
        names = found.flagged or natural_key(_path(resource).removeprefix("ed-fi/"), five=five)
        places = found.places(frozenset(names) | found.filters)
        return {name: places[name] for name in names if name in places}

    def properties(self, resource: str) -> frozenset[str]:
        """The names that a record may have; empty where the document does not say."""
        found = self._collections.get(_path(resource))
        shape = following(found.item, found.schemas) if found and found.item else None
        return frozenset(shape.properties) if shape else frozenset()

    def limit(self, resource: str) -> int | None:
        """The most rows that a page may have; None where the document does not say."""
        found = self._collections.get(_path(resource))
        return None if found is None else found.limit

    def filters(self, resource: str) -> frozenset[str]:
        """The query names that a GET of the collection knows. # Ed-Fi: any other is ignored, and everything comes."""
        found = self._collections.get(_path(resource))
        return frozenset() if found is None else found.filters

    def problems(self, resource: str, body: Mapping[str, Any], *, replacing: bool = False) -> Sequence[str]:
        """Why the server would not take this record, or would take it and silently leave something away: each names
        the exact place and what is wrong there, never what stands there. Empty where all is well.

        `replacing`: the body of a PUT, which carries the id that the server gave; a POST must not.
        """
        found = self._collections.get(_path(resource))
        if found is None:
            return [f"{_path(resource)} is not offered by this server"]
        if found.bare:
            return []
        if found.body is None:
            return [f"{_path(resource)} cannot be written on this server"]
        own = [] if replacing or "id" not in body else ["id is given by the server and must not be sent"]
        return [*own, *wrong_with(dict(body), found.body, found.schemas)]


async def offered(server: Server, settings: EdfiSettings) -> Offered | None:
    """What this server offers, asked at most once a day by each process. None where it does not tell, or not so that
    it can be read: then nothing is checked before it is sent, and pages are as long as the server lets them be.
    That they cannot be had just now is no reason to stop either."""
    if not server.openapi_url:
        return None
    try:
        return await _kept(server, settings)
    except PlanbridgeError as error:
        log.warning("The OpenAPI documents of this server were not read: %s", error.message)
        return None


async def load(server: Server, settings: EdfiSettings) -> Offered:
    """What this server offers, asked now and without credentials, as anyone may. ConfigError `edfi-openapi` where its
    documents are missing or cannot be read, `left-origin` where they lie with somebody else."""
    return read(await _documents(server, settings))


async def _documents(server: Server, settings: EdfiSettings) -> Sequence[bytes]:
    async with Http(None, tokens=MemoryTokens(), network=settings.network, timeout=settings.patience) as anonymous:
        address = server.openapi_url
        found = listed(await _fetched(anonymous, address))
        if isinstance(found, str):
            address = same_origin(address, found)
            found = listed(await _fetched(anonymous, address))
        if isinstance(found, str) or not found:
            raise _unreadable("the list of OpenAPI documents names none of resources")
        documents = dict.fromkeys(same_origin(address, one) for one in found)
        return await asyncio.gather(*(_fetched(anonymous, one) for one in documents))


def listed(body: bytes) -> Sequence[str] | str:
    """The addresses of the documents of resources and descriptors in a list of OpenAPI documents; or the one address at
    which the list is. # Ed-Fi: in the draft of Discovery 2.0 the metadata name it, as specifications."""
    try:
        found = msgspec.json.decode(body, type=list[_Listed] | _Elsewhere)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _unreadable("the list of OpenAPI documents is not such a list") from None
    return found.specifications if isinstance(found, _Elsewhere) else [one.endpointUri for one in _of_resources(found)]


def read(documents: Sequence[bytes]) -> Offered:
    """What these documents offer together. # Ed-Fi: OpenAPI 2.0 (Swagger) up to ODS/API 7.0, OpenAPI 3 from 7.1 on."""
    collections: dict[str, _Collection] = {}
    for text in documents:
        try:
            document = msgspec.json.decode(text.removeprefix(b"\xef\xbb\xbf"), type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _unreadable("an OpenAPI document cannot be read") from None
        collections |= _collections(document)
    return Offered(collections)


@dataclass(frozen=True)
class _Collection:
    """One collection. `item` is the schema of a record, `body` that of what may be sent."""

    item: Schema | None
    body: Schema | None
    schemas: Mapping[str, Schema] = field(repr=False)
    filters: frozenset[str]
    flagged: tuple[str, ...]
    limit: int | None
    bare: bool

    def places(self, asked: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
        """Where each of these query names stands in a record, of its plain fields and of the fields of references."""
        if self.item is None:
            return {}
        shape = following(self.item, self.schemas)
        # Own fields last, and required references after the others: the better place takes the name.
        found: dict[str, tuple[str, ...]] = {}
        references = [name for name in shape.properties if name.endswith("Reference")]
        for reference in sorted(references, key=lambda name: name in (shape.required or ())):
            fields = following(shape.properties[reference], self.schemas).properties
            for inner in fields:
                found[_asked_as(reference, inner, asked - fields.keys())] = (reference, inner)
        return found | {name: (name,) for name in shape.properties if name not in references}


def _asked_as(reference: str, inner: str, asked: frozenset[str]) -> str:
    """# Ed-Fi: programReference.educationOrganizationId is asked for as programEducationOrganizationId where the record
    has an educationOrganizationId of its own: the role, or all of the reference's name, comes before."""
    role = reference.removesuffix("Reference")
    for end in (len(role), *(n for n in range(len(role) - 1, 0, -1) if role[n].isupper())):
        if (name := role[:end] + inner[0].upper() + inner[1:]) in asked:
            return name
    return inner


class _Parameter(msgspec.Struct, frozen=True):
    ref: str = msgspec.field(name="$ref", default="")
    name: str = ""
    place: str = msgspec.field(name="in", default="")
    schema: Schema | None = None
    maximum: float | None = None
    maxItems: int | None = None
    identity: Any = msgspec.field(name="x-Ed-Fi-isIdentity", default=False)


class _Media(msgspec.Struct, frozen=True):
    schema: Schema | None = None


class _Content(msgspec.Struct, frozen=True):
    """A request body or a response, of either version."""

    content: dict[str, _Media] = {}
    schema: Schema | None = None

    @property
    def shape(self) -> Schema | None:
        return next((media.schema for media in self.content.values() if media.schema), self.schema)


class _Operation(msgspec.Struct, frozen=True):
    parameters: list[_Parameter] = []
    requestBody: _Content | None = None
    responses: dict[str, _Content] = {}


class _Path(msgspec.Struct, frozen=True):
    get: _Operation | None = None
    post: _Operation | None = None


class _Components(msgspec.Struct, frozen=True):
    schemas: dict[str, Schema] = {}
    parameters: dict[str, _Parameter] = {}


class _Document(msgspec.Struct, frozen=True):
    paths: dict[str, _Path]
    components: _Components | None = None
    definitions: dict[str, Schema] = {}
    parameters: dict[str, _Parameter] = {}


class _Listed(msgspec.Struct, frozen=True):
    endpointUri: str
    name: str = ""
    prefix: str | None = None


class _Elsewhere(msgspec.Struct, frozen=True):
    specifications: str


# Ed-Fi: what else is listed beside resources and descriptors; none of it adds a collection.
_ASIDE = ("composites", "other", "profiles", "sdkgen")


def _of_resources(listed: Sequence[_Listed]) -> Sequence[_Listed]:
    """The documents of resources and descriptors; where none is called so, all that are not of something else. A
    document of resources has those of all namespaces."""
    named = [one for one in listed if one.name.casefold() in ("resources", "descriptors") and not one.prefix]
    return named or [one for one in listed if (one.prefix or "").casefold() not in _ASIDE]


def _collections(document: _Document) -> Iterator[tuple[str, _Collection]]:
    schemas = document.components.schemas if document.components else document.definitions
    parameters = document.components.parameters if document.components else document.parameters
    for path, operations in document.paths.items():
        namespace, slash, name = path.strip("/").partition("/")
        if slash and name and "/" not in name:
            yield f"{namespace}/{name}", _collection(operations, schemas, parameters)


def _collection(operations: _Path, schemas: Mapping[str, Schema], parameters: Mapping[str, _Parameter]) -> _Collection:
    get, post = operations.get or _Operation(), operations.post
    asked = [parameters.get(one.ref.rpartition("/")[2], one) if one.ref else one for one in get.parameters]
    asked = [one for one in asked if one.place == "query"]
    body = _body(post) if post else None
    return _Collection(
        item=body or _row(get, schemas),
        body=body,
        schemas=schemas,
        filters=frozenset(one.name for one in asked),
        flagged=tuple(one.name for one in asked if one.identity in (True, "true")),
        limit=_limit(asked or parameters.values()),
        bare=operations.get is None and post is None,
    )


def _body(post: _Operation) -> Schema | None:
    if post.requestBody is not None:
        return post.requestBody.shape
    return next((one.schema for one in post.parameters if one.place == "body"), None)


def _row(get: _Operation, schemas: Mapping[str, Schema]) -> Schema | None:
    answer = get.responses.get("200")
    shape = following(answer.shape, schemas) if answer and answer.shape else None
    return shape.items if shape else None


def _limit(parameters: Iterable[_Parameter]) -> int | None:
    """# Ed-Fi: `maximum` of the schema in OpenAPI 3; in 2.0 of the parameter itself, which 3.x calls maxItems."""
    for one in parameters:
        if one.name in ("limit", "pageSize"):
            most = one.maximum or one.maxItems or (one.schema.maximum if one.schema else None)
            if most:
                return int(most)
    return None


def _path(resource: str) -> str:
    return resource if "/" in resource else f"ed-fi/{resource}"


async def _fetched(http: Http, address: str) -> bytes:
    reply = await http.get(address)
    if reply.status != 200:
        raise _unreadable(f"{reply.name} answered {reply.status}")
    return reply.body


def _unreadable(what: str) -> ConfigError:
    return ConfigError(
        "edfi-openapi",
        f"The server's OpenAPI documents cannot be used: {what}.",
        "Ask the API's administrator to switch its OpenAPI metadata on, or enter where it lies.",
    )


_DAY = 24 * 3600.0
_MOST = 64  # servers


@dataclass(frozen=True)
class _Kept:
    """What one server said, compressed: a tenth of a megabyte or two. Read, its schemas take fifty times that."""

    at: float
    documents: Sequence[bytes]

    @classmethod
    def of(cls, documents: Sequence[bytes]) -> "_Kept":
        return cls(time.monotonic(), [zlib.compress(text) for text in documents])

    def read(self) -> Offered:
        return read([zlib.decompress(text) for text in self.documents])


_KEPT: dict[bytes, _Kept] = {}
# Read for as long as somebody works with it: a pull asks once how long a page may be, a delivery of every record.
_IN_USE: WeakValueDictionary[bytes, Offered] = WeakValueDictionary()


async def _kept(server: Server, settings: EdfiSettings) -> Offered:
    # The credentials are part of the name: what one district was told is never believed of the server of another.
    parts = (server.openapi_url, server.title, settings.key, settings.secret.get_secret_value())
    name = hashlib.sha256("\n".join(parts).encode()).digest()
    kept = _KEPT.get(name)
    if kept and time.monotonic() - kept.at < _DAY:
        offered = _IN_USE.get(name) or kept.read()
    else:
        documents = await _documents(server, settings)
        offered = read(documents)
        _KEPT.pop(name, None)
        while len(_KEPT) >= _MOST:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[name] = _Kept.of(documents)
    _IN_USE[name] = offered
    return offered


def forget() -> None:
    """Ask every server again: for tests, which play many servers in one process."""
    _KEPT.clear()
    _IN_USE.clear()
