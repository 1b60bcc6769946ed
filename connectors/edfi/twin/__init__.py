"""A small server that behaves like an Ed-Fi ODS/API playing the invented district."""

import os
from collections.abc import Iterable, Mapping

from starlette.applications import Starlette

from connectors.edfi.twin.claims import EVERY, Claims
from connectors.edfi.twin.extension import Extension, ssp
from connectors.edfi.twin.given import Given
from connectors.edfi.twin.ods import Ods
from connectors.edfi.twin.planted import planted as plant
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.server import Server
from connectors.edfi.twin.tokens import Tokens
from synthetic import District, build

__all__ = ["Extension", "app", "ssp", "twin"]


def twin(
    district: District,
    *,
    standard: str = "5.0",
    version: str = "",
    route: str | None = None,
    key: str = "demo-key",
    secret: str = "demo-secret",  # noqa: S107  a twin guards nothing
    token_seconds: float = 1800,
    page_limit: int = 500,
    cursor: bool | None = None,
    changes: str = "told",
    suppressed: bool = True,
    snapshots: bool = False,
    dashed_tombstones: bool = False,
    planted: str | None = None,
    district_namespace: str = "uri://mapleridge.example.org",
    allow_programs: bool = True,
    claims: str = "plans",
    granted: Mapping[str, Iterable[str]] | None = None,
    needs: bool = False,
    given: Given | None = None,
    extension: Extension | None = None,
    control: bool = True,
) -> Starlette:
    """An ASGI application with discovery, OAuth and the resources of one data standard.

    `standard` is 3.3, 4.0, 5.0 or 6.0, `version` the release of ODS/API or Ed-Fi API that serves it, from 5.3 to
    8.0: without it 5.4, 6.2, 7.3 and 8.0; `cursor=False` is short for 7.2. What `route`, `changes`, `suppressed`,
    `snapshots` and `dashed_tombstones` mean: see Release. No page is longer than `page_limit`.
    `planted` (2 to 17 characters) is put into every field that planning never needs. `claims` is the claim set of the
    key: "plans" may write programs (unless `allow_programs` is False), student program associations, interventions and
    student intervention associations, descriptors in `district_namespace`, and change enrolments; "reader" and "sis",
    and `granted` operations of single resources: see Claims. With `needs` it serves programs, attendance, discipline
    and grades too. `given` rows stand for those of the district, as a server of results alone has them: see there.
    `extension` is what the host has added to the core model, as `ssp(standard)` is; "plans" writes it too.
    `control` opens the side door of `synthetic.faults`, and POST /_sis/repost, by which the SIS sends its enrolments
    again as if nobody had written to them, and POST /_host/snapshot, by which the host makes a snapshot in the place of
    the one there was.
    """
    release = Release(
        standard,
        version or ("7.2" if cursor is False and standard == "5.0" else ""),
        route=route,
        changes=changes,
        suppressed=suppressed,
        snapshots=snapshots,
        dashed_tombstones=dashed_tombstones,
    )
    ods = Ods(
        district,
        release,
        namespace=district_namespace,
        planted=plant(planted, namespace=district_namespace, standard=release.standard),
        programs=allow_programs,
        claims=Claims(
            claims,
            ({} if allow_programs else {"programs": ("Read",)}) | _extended(extension, claims) | dict(granted or {}),
            changes=changes == "told",
        ),
        needs=needs,
        given=given,
        extension=extension,
    )
    tokens = Tokens(key, secret, token_seconds, limited=release.limited_tokens, web=release.web_tokens)
    return Server(ods, tokens, release, page_limit=page_limit).application(control=control)


def _extended(extension: Extension | None, claims: str) -> dict[str, Iterable[str]]:
    """What the claim set grants of the extension."""
    return dict.fromkeys(extension.shapes, EVERY) if extension and claims == "plans" else {}


def app() -> Starlette:
    """The twin as `uvicorn --factory` wants it, sized and named by TWIN_* in the environment."""
    take = os.environ.get
    district = build(
        schools=int(take("TWIN_SCHOOLS", "3")),
        students=int(take("TWIN_STUDENTS", "600")),
        seed=int(take("TWIN_SEED", "2026")),
    )
    standard = take("TWIN_STANDARD", "5.0")
    return twin(
        district,
        standard=standard,
        extension=ssp(standard) if take("TWIN_EXTENSION", "") == "ssp" else None,
        version=take("TWIN_VERSION", ""),
        key=take("TWIN_KEY", "demo-key"),
        secret=take("TWIN_SECRET", "demo-secret"),
    )
