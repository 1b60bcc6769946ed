"""What a connector is: the collections it can pull, the documents it can push, the settings it asks for."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from gateway.connection_settings import Advanced as Advanced
from gateway.connection_settings import ConnectionSettings as ConnectionSettings
from gateway.connection_settings import is_secret as is_secret
from gateway.connection_settings import validated as validated
from gateway.http import Auth, CodeGrant, Http

Announce = Callable[["Document", str], Awaitable[None]]

START = ""
"""The cursor of a collection's first page."""


@dataclass(frozen=True)
class Resource:
    """One collection of a remote system.

    `drop` names what planning never needs: it is removed before anything is stored. `ignore` names what is
    stored but is not a change (a refresh time, an entity tag). Both are paths: `password`,
    `userProfiles[].credentials`, or `**.link` for a name at any depth. `closed` names objects that may hold anything:
    of each only the members that an override reads are kept. Where there is a `keep`, nothing else of a row is kept but
    these members of its outermost object, whatever a server adds to it.
    `wire` is decoded strictly; unknown fields are skipped but stay in the stored payload. Of one that is `lenient` a
    row with a value of another type is read where that can mean one thing only (see gateway.lenient), and the run says
    so; also where null or an empty text stands for what is absent.
    `group` is one of gateway.collecting.GROUPS: the collection goes beyond roster and results, and is asked for only
    where a district has switched its group on.
    """

    name: str
    wire: type
    key: Callable[[Any], str]
    drop: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    inactive: Callable[[Any], bool] | None = None
    lenient: bool = False
    group: str = ""
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """A row that could not even be split into fields."""

    position: str
    code: str
    reason: str


@dataclass(frozen=True)
class Notice:
    """Something the standard does not allow and that was read all the same.

    `code` is explained in docs/leniencies.md; `field` is a path in the record, or the name of a header or a file;
    `example` says where one stands (a key, a row), never what stands there; `count` how often on this page."""

    code: str
    field: str = ""
    example: str = ""
    count: int = 1


@dataclass(frozen=True)
class Page:
    """One page as it came. `next` lists the cursors this page makes known: none at the end, many where the
    server told the total, so that they can be pulled side by side. `total` is what the server claims.

    For messages: `first_row` is the number of the first row in its file, or `positions` says where each row stood.
    `partial`: the page is of what changed since the mark that the source was told, so that what does not come is not
    gone. `gone` are keys of records that the system says are no more; what the rows of the same page or of a later one
    say of such a key counts more, so a system that tells of both is asked for these first. `renamed`: keys that became
    others, the old ones to the new ones: what the record says is said of the same thing as before; of those that are
    `gone` too, nothing else has the old key now. `absent` is the reason why
    the collection is not served at all (not granted, not in the standard, not in the manifest): it is then
    reported and left as it is, never emptied. `notices` tell what was read although it is not in the standard.
    """

    rows: Sequence[msgspec.Raw | bytes] = ()
    gone: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    next: tuple[str, ...] = ()
    total: int | None = None
    first_row: int | None = None
    positions: Sequence[str] = ()
    unreadable: Sequence[Unreadable] = ()
    notices: Sequence[Notice] = ()
    partial: bool = False
    absent: str = ""

    def position(self, n: int) -> str:
        """Where the row at index `n` stood; empty where that is not known."""
        if self.positions:
            return self.positions[n]
        return f"row {self.first_row + n}" if self.first_row is not None else ""


class Source(Protocol):
    """A remote system, opened for reading. `pull` is dumb: no retry (the transport's work), no reshaping."""

    resources: Sequence[Resource]
    """Parents before children."""
    pages_move: bool
    """Whether a row may change pages while they are read, as in a list that is served; not in a file."""

    async def pull(self, resource: Resource, cursor: str) -> Page: ...

    async def check(self) -> Sequence["Finding"]:
        """Look at the live system and say in plain words what is right and wrong; reads, never writes."""

    async def close(self) -> None: ...


@runtime_checkable
class Incremental(Protocol):
    """A source that can tell what changed since an earlier look.

    `marks` says, for each collection that can be pulled so, where the server stands now: a text of the connector's
    own (an instant, a change version). It is asked once, before the first page, and kept until what was pulled after
    it is published. `since` is told the marks of the last published run: of each collection in it only what changed
    since then is pulled from now on, tombstones included, and what does not come is not gone.
    """

    async def marks(self) -> Mapping[str, str]: ...

    def since(self, marks: Mapping[str, str]) -> None: ...


@runtime_checkable
class Advancing(Protocol):
    """An incremental source that reads a system which changes meanwhile, and can say what of it came."""

    def reached(self) -> Mapping[str, str]:
        """Asked once, after the last page: of collections that this source pulled from their first page to their last,
        the mark up to which they were, where it is later than the one in `marks`. It is kept instead of that."""


@runtime_checkable
class Collecting(Protocol):
    """A source that has more than roster and results: until it is told which groups are wanted, its `resources` are
    those without a group."""

    def collect(self, groups: Iterable[str]) -> None: ...


@runtime_checkable
class Rereading(Protocol):
    """A source of partial pages that reads again, with each pull, all that there is: what was set aside before and is
    not now was put right or taken away."""

    reads_all_again: Literal[True]


@dataclass(frozen=True)
class Finding:
    """One thing `planbridge check` saw. `propose` are settings that follow from it: they are kept where nobody has set
    them. `choice` is a field of the delivery profile: where that is off, what was seen is no fault."""

    ok: bool
    text: str
    fix: str = ""
    propose: Mapping[str, Any] = field(default_factory=dict)
    choice: str = ""


@dataclass(frozen=True)
class Document:
    """One object to be written. `key` is its natural key at the target; `body` is sent as JSON.

    `create_only` documents are shared (a program): they are made where missing, never overwritten. `merge` documents
    are values put into a record of somebody else, which keeps all its other values (see Merging): `body` says which.
    `after` names the documents that this one refers to: it is not sent before they arrived. None: all before it.
    `texts` are properties of the body that are left out where the target's own limit is shorter, and then lost: the
    places of the plan (JSON pointers) that stand in each. `content` makes the bytes of a file that is put there, only
    when it is: `body` says all that stands in it, so that the same body is the same file.
    """

    resource: str
    key: dict[str, Any]
    body: dict[str, Any]
    create_only: bool = False
    after: tuple[str, ...] | None = None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    merge: bool = False
    content: Callable[[], bytes] | None = field(default=None, compare=False, repr=False)

    @property
    def identity(self) -> str:
        """The key as one line of text, the same for the same object for ever."""
        return msgspec.json.encode(self.key, order="sorted").decode()

    @property
    def name(self) -> str:
        """What tells it apart from every other document at its target."""
        return f"{self.resource} {self.identity}"


@dataclass(frozen=True)
class Loss:
    """Something of the plan that the target does not get, and why: it `cannot` hold it, or it is `withheld`."""

    pointer: str
    kind: Literal["cannot", "withheld"]
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What the target answered to one document. Only a 2xx status counts as delivered.

    `message` says why it was refused and what to do, the same words for the same cause; `trace` is the id under which
    the target's host finds this one refusal. `waits` says for what a refusal may end by itself: the target lacks
    something that the document refers to (a parent), or it does not know yet that the student is here (an
    enrollment). `revision` is a text of the connector's own, see Guarding; `adopted`: nothing was made, what bears the
    document's marker was found there and updated."""

    status: int
    remote_id: str = ""
    revision: str = ""
    message: str = ""
    unchanged: bool = False
    waits: Literal["", "parent", "enrollment"] = ""
    trace: str = ""
    adopted: bool = False

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300


class Sink(Protocol):
    """A remote system, opened for writing: many documents go through it side by side, the same one never twice."""

    async def push(self, document: Document) -> Receipt:
        """Create or update one object; safe to repeat. A refusal is a Receipt, never an exception."""

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """The object as the target now has it, or None."""

    async def close(self) -> None: ...


@runtime_checkable
class Allocating(Protocol):
    """A sink of a target that may give objects ids of its own: it is told those that were given before.

    `know` comes before each push, read-back and delete, also where the object is not sent again; an empty id means that
    none was given."""

    def know(self, document: Document, remote_id: str) -> None: ...


@dataclass(frozen=True)
class Judgement:
    """Documents as a target takes them, in the order in which it wants them; what is wrong with them, in sentences
    that say what to do and repeat nothing of a plan; and what had to be left out of them."""

    documents: Sequence[Document]
    problems: Sequence[str] = ()
    losses: Sequence[Loss] = ()


@runtime_checkable
class Judging(Protocol):
    """A sink of a target that tells what it takes: nothing is sent that it would refuse or lose without a word."""

    async def judge(self, documents: Sequence[Document]) -> Judgement:
        """Look at what is to be sent before any of it is; asks the target, writes nothing."""


@runtime_checkable
class Respecting(Protocol):
    """A sink of a target that others write to as well."""

    async def foreign(self, document: Document) -> Receipt | None:
        """Before an object is sent for the first time: a refusal where somebody else's stands at its key, or where
        that cannot be told. None where the place is free, or holds the very same."""


@runtime_checkable
class Expecting(Protocol):
    """A respecting sink that can look at many places at once."""

    async def expect(self, documents: Sequence[Document]) -> None:
        """`foreign` is about to be asked of each of these: where one look tells of many, it is taken now. What cannot
        be told so is asked one by one, as ever. Reads, never writes."""


@runtime_checkable
class Guarding(Protocol):
    """A sink of a target at which people edit what we wrote, and which can tell that they did."""

    async def edited(self, document: Document, revision: str) -> bool:
        """Whether what stands there, under the id that was made known, is no more what we wrote: `revision` is that of
        the Receipt of our last write (a hash of what was read back, a version, a time). Asked before an update of what
        was delivered; False where nothing stands there. Reads, never writes."""


@runtime_checkable
class Ending(Protocol):
    """A sink of a target whose objects have a last day."""

    async def end(self, document: Document, on: date) -> Receipt:
        """Give an object of ours, known by its key, that last day; safe to repeat. One that begins later ends on its
        first day; one that is gone, has no last day, or ended before, stays as it is."""


@runtime_checkable
class Merging(Protocol):
    """A sink that puts values into records of others, who may write these records anew at any time.

    `standing` says of a `merge` document that was delivered: its values are `kept`; `dropped`, where the record is
    there without them; or `due`, where another record is the one to have them by now, or they are to be taken out."""

    async def standing(self, document: Document) -> Literal["kept", "dropped", "due"]: ...


@runtime_checkable
class Announcing(Protocol):
    """A sink that says which record it is about to put a value into, before it does: what `announce` was awaited with
    comes back by `know`, also where this process died before the answer came. An empty id takes it back."""

    def announcing(self, announce: Announce) -> None: ...


@runtime_checkable
class Admitting(Protocol):
    """A sink of a target where some objects are what lets people see the others."""

    admits: Collection[str]
    """The resources of these: they are taken back, or ended, before anything else is written."""


@runtime_checkable
class Retracting(Protocol):
    """A sink of a target from which an object can be taken back."""

    async def delete(self, document: Document) -> Receipt:
        """Take one object back; safe to repeat. What is gone already counts as taken back."""


@dataclass(frozen=True)
class Viewer:
    """Somebody to whom a platform shows a document, by its own rules. `key` is the id or number by which the
    destination knows them: empty where it tells of a sort of people only, and not who they are."""

    relation: Literal["student", "guardian", "teacher", "staff", "other"]
    key: str = ""
    name: str = ""


@runtime_checkable
class Checking(Protocol):
    """A sink of a system from which nothing is pulled: what is right and wrong with it is seen here."""

    async def check(self) -> Sequence[Finding]:
        """Look at the live system and say in plain words what is right and wrong; changes nothing that others see."""


@runtime_checkable
class Showing(Protocol):
    """A sink of a target that people look into, and that can tell who they are."""

    async def audience(self, document: Document) -> Sequence[Viewer]:
        """Who sees an object there; who would, where it was not sent yet. Asks the target, writes nothing."""


@dataclass(frozen=True)
class Connector:
    """A folder under connectors/ defines one of these as CONNECTOR; its folder name is its id.

    `auth` says how requests authenticate (None where there are none, as for files). `open_source` and
    `open_sink` may look at the remote system (discovery) and raise ConfigError, AuthError or Unavailable.
    `keeps_roster`: whether it knows who there is; if not, none of it is the system of record by being the first.
    `limits` are those of the guards that differ for it from the usual ones, until a district sets its own.
    """

    name: str
    title: str
    settings: type[ConnectionSettings]
    auth: Callable[[Any], Auth | None]
    open_source: Callable[[Any, Http], Awaitable[Source]] | None = None
    open_sink: Callable[[Any, Http], Awaitable[Sink]] | None = None
    resources: Sequence[Resource] = field(default_factory=tuple)
    """Every collection this connector may pull, for showing what would be kept before connecting."""
    keeps_roster: bool = True
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    writes: Callable[[Mapping[str, Any]], bool] = lambda settings: True
    """Whether a connection with these settings may be written to, where there is a sink at all."""
    place: Literal["sis", "lms", "files"] = "sis"
    """What kind of system it is. People look into an lms, whatever a district meant by a delivery."""
    grant: Callable[[Any], CodeGrant] | None = None
    """How a person lets us in once, where they can; the setting `refresh_token` then keeps what came of it."""
    letter: Callable[[Any, Sequence[Finding], Collection[str]], str] | None = None
    """The mail to the vendor, from settings, what a check saw, and the groups that are collected: what to ask for. It
    holds no secret."""
