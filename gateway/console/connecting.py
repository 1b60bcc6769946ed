"""Connecting a system: which, by which settings, what a trial says to them, and that it begins in shadow."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway import registry, trying
from gateway.connector import Connector, Finding, is_secret, validated
from gateway.console.pages import leads_to, page, status_of
from gateway.console.visit import Visit, Visitor
from gateway.errors import ConfigError, PlanbridgeError
from gateway.store import registers

router = APIRouter(prefix="/connect")

OURS = frozenset({"tool_key"})
"""Settings that no person has: the program fills them in."""
OF_THE_MACHINE = frozenset({"ca_file", "private_addresses", "proxy", "layout_file"})
"""What reaches files of the machine or the network it stands in. Where several districts share it, no district's people
decide about them: whoever runs the machine does, by `planbridge connections change`."""
REMOTE = "sftp://"

Kind = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,60}$")]


@dataclass(frozen=True)
class Field:
    """One setting as the form asks for it. `value` is never a secret: those are typed anew each time."""

    name: str
    title: str
    description: str
    kind: Literal["text", "secret", "number", "choice", "yes"]
    required: bool
    advanced: bool
    choices: tuple[str, ...]
    value: str


@router.get("")
async def choose(request: Request, visit: Visitor) -> Response:
    """Every system that can be connected."""
    found = [(name, registry.connector(name)) for name in registry.names()]
    return page(request, visit, "choose", connectors=found, places=("sis", "lms", "files"))


@router.get("/{connector}")
async def form(request: Request, connector: Kind, visit: Visitor) -> Response:
    """The form of one kind of system, drawn from the settings that it declares."""
    return await _form(request, visit, connector, {})


@router.post("/{connector}")
async def connect(request: Request, connector: Kind, visit: Visitor) -> Response:
    """Try it as the form says. Only where all is right, or they want it all the same, it is saved: in shadow."""
    kind = registry.connector(connector)
    allowed = await _allowed(visit, kind)
    plain, hidden = _given(kind, visit, allowed)
    name = visit["connection-name"].strip()
    try:
        if not name:
            raise ConfigError("connection-unnamed", "The connection has no name.", "Give it one that people know.")
        if len(allowed) < len(kind.settings.model_fields.keys() - OURS) and _is_here(plain.get("path", "")):
            raise ConfigError(
                "folder-of-the-machine",
                "Several districts share this machine, so its folders are not opened from here.",
                "Give an sftp:// address, or ask whoever runs the machine to connect it.",
            )
        settings = validated(kind.settings, plain | hidden)
    except PlanbridgeError as error:
        return await _form(request, visit, connector, plain, name=name, wrong=error)
    try:
        findings = await trying.try_out(kind, settings)
    except PlanbridgeError as error:
        findings = [Finding(False, error.message, error.fix)]
    if not all(one.ok for one in findings) and not visit["anyway"]:
        return await _form(request, visit, connector, plain, name=name, findings=findings)
    settings, _ = trying.learnt(kind, settings, findings)
    dumped = {field: value for field, value in settings.model_dump(mode="json").items() if field not in hidden}
    try:
        made = await registers.add_connection(
            visit.store, visit.district, name, connector, dumped, hidden, visit.actor, keeps_roster=kind.keeps_roster
        )
    except PlanbridgeError as error:
        return await _form(request, visit, connector, plain, name=name, wrong=error, findings=findings)
    if kind.open_source is not None:
        await registers.set_shadow(visit.store, visit.district, made, True, visit.actor)
    return leads_to(request, f"/connections/{made}?done=connected")


async def _form(
    request: Request,
    visit: Visit,
    connector: str,
    given: dict[str, Any],
    *,
    name: str = "",
    wrong: PlanbridgeError | None = None,
    findings: list[Finding] | None = None,
) -> Response:
    kind = registry.connector(connector)
    allowed = await _allowed(visit, kind)
    fields = [_field(field, info, given) for field, info in kind.settings.model_fields.items() if field in allowed]
    status = status_of(wrong) if wrong is not None else 200 if findings is None else 422
    return page(
        request, visit, "connect", status, connector=connector, title=kind.title, fields=fields, name=name,
        wrong=wrong, findings=findings, kept=trying.kept(kind),
    )  # fmt: skip


async def _allowed(visit: Visit, kind: Connector) -> frozenset[str]:
    """The settings that may be given here."""
    alone = len(await registers.districts(visit.store)) == 1
    return frozenset(kind.settings.model_fields) - OURS - (frozenset() if alone else OF_THE_MACHINE)


def _is_here(path: str) -> bool:
    return bool(path) and not path.startswith(REMOTE)


def _given(kind: Connector, visit: Visit, allowed: frozenset[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was filled in: (plain settings, secret ones). What is left empty keeps its default."""
    plain: dict[str, Any] = {}
    hidden: dict[str, str] = {}
    for name, info in kind.settings.model_fields.items():
        value = visit[f"set-{name}"].strip()
        if name not in allowed or not value:
            continue
        (hidden if is_secret(info) else plain)[name] = value
    return plain, hidden


def _field(name: str, info: FieldInfo, given: dict[str, Any]) -> Field:
    extra = info.json_schema_extra
    preset = "" if info.is_required() or info.default is None else info.default
    shown = given.get(name, preset)
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    sort: Literal["text", "secret", "number", "choice", "yes"] = "text"
    if is_secret(info):
        sort, shown = "secret", ""
    elif choices:
        sort = "choice"
    elif info.annotation is bool:
        sort, choices = "yes", ("true", "false")
        shown = str(shown).lower()
    elif any(part in (int, float) for part in (info.annotation, *get_args(info.annotation))):
        sort = "number"
    if isinstance(shown, list):
        shown = "; ".join(map(str, shown))
    assert not isinstance(shown, SecretStr)
    return Field(
        name,
        info.title or name.replace("_", " ").capitalize(),
        info.description or "",
        sort,
        info.is_required(),
        bool(isinstance(extra, dict) and extra.get("advanced")),
        tuple(map(str, choices)),
        str(shown),
    )
