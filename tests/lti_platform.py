"""A platform that was not written here: lti1p3platform signs, verifies and answers; this puts it on a socket.

What a platform has to bring itself is kept as plainly as it goes: people, columns and results in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from lti1p3platform.exceptions import LineItemNotFoundException, LtiException
from lti1p3platform.ltiplatform import LTI1P3PlatformConfAbstract
from lti1p3platform.membership import Context
from lti1p3platform.message_launch import LTIAdvantageMessageLaunchAbstract
from lti1p3platform.oidc_login import OIDCLoginAbstract
from lti1p3platform.registration import Registration
from lti1p3platform.request import Request as Asked
from lti1p3platform.response import generate_next_link
from lti1p3platform.score import UpdateScoreStatus
from lti1p3platform.service_connector import AssignmentsGradesService, NamesRoleProvisioningService
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.serving import serve

CLIENT, DEPLOYMENT, COURSE = "client-7", "deployment-1", "c-1"
PAGE = 2
"""Rows of a page, whether the tool asks for that or not."""
INSTRUCTOR = "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"
LEARNER = "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"


class Conf(LTI1P3PlatformConfAbstract):  # type: ignore[misc]
    """One registered tool."""

    def init_platform_config(self, registration: Registration) -> None:
        self._registration = registration

    def get_registration_by_params(self, **named: Any) -> Registration:
        return self._registration


class Foreign:
    """The platform: `members` as they are listed, `columns` by id, `results` by (column, person). Not all
    platforms let a tool ask for some columns only: without `filters` all are listed."""

    def __init__(self, tool_keys: str, login: str, launch: str) -> None:
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.registration = (
            Registration()
            .set_client_id(CLIENT)
            .set_deployment_id(DEPLOYMENT)
            .set_launch_url(launch)
            .set_oidc_login_url(login)
            .set_tool_key_set_url(tool_keys)
            .set_platform_public_key(public.decode())
            .set_platform_private_key(private.decode())
        )
        self.members: list[dict[str, Any]] = []
        self.columns: dict[str, dict[str, Any]] = {}
        self.results: dict[tuple[str, str], dict[str, Any]] = {}
        self.made = 0
        self.filters = True
        self.url = ""

    def conf(self) -> Conf:
        return Conf(registration=self.registration)

    def columns_url(self) -> str:
        return f"{self.url}/{COURSE}/lineitems"

    def add_member(self, id: str, number: str, role: str, name: str) -> None:
        self.members.append({"user_id": id, "roles": [role], "name": name, "lis_person_sourcedid": number})

    def preflight(self, person: str) -> str:
        """Where a browser goes first when somebody opens the tool."""
        return str(Login(None, self.conf()).set_hint().prepare_preflight_url(person))

    def launch(self, asked: dict[str, str]) -> dict[str, Any]:
        """What the browser then posts to the tool, in answer to the tool's authentication request: the form's fields
        and where it goes."""
        member = next(one for one in self.members if one["user_id"] == asked["login_hint"])
        made = Launch(Query(asked), self.conf())
        made.set_user_data(member["user_id"], member["roles"], member["name"])
        made.set_resource_link_claim("link-1")
        made.set_launch_context_claim(COURSE, ["CourseSection"], "Reading 7A", "R7A")
        made.set_ags(self.columns_url())
        made.set_nrps(f"{self.url}/{COURSE}/members")
        made.set_extra_claims(
            {"https://purl.imsglobal.org/spec/lti/claim/lis": {"person_sourcedid": member["lis_person_sourcedid"]}}
        )
        return dict(made.lti_launch())

    def routes(self) -> list[Route]:
        column = f"/{COURSE}/lineitems/{{column}}"
        return [
            Route("/jwks", self._keys),
            Route("/token", self._token, methods=["POST"]),
            Route(f"/{COURSE}/members", self._listed_members),
            Route(f"/{COURSE}/lineitems", self._columns, methods=["GET", "POST"]),
            Route(column, self._column, methods=["GET", "PUT", "DELETE"]),
            Route(f"{column}/scores", self._score, methods=["POST"]),
            Route(f"{column}/results", self._results),
        ]

    async def _keys(self, request: Request) -> Response:
        return JSONResponse(self.conf().get_jwks())

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        try:
            return JSONResponse(await run_in_threadpool(self.conf().get_access_token, form))
        except Exception as error:  # whatever its libraries raise at what we signed
            return JSONResponse({"error": "invalid_client", "error_description": type(error).__name__}, 400)

    async def _listed_members(self, request: Request) -> Response:
        service = Members(await asked(request), self.conf(), f"{self.url}/{COURSE}/members")
        service.platform = self
        answer = service.handle_resp(service.handle_get_members)
        if answer.code != 200:
            return _told(answer, None)
        # The package leads on only where a limit was asked for.
        page = int(service.request.get_data.get("page", 1))
        more = page * PAGE < len(self.members)
        return _told(answer, answer.result, f"{self.url}/{COURSE}/members?page={page + 1}" if more else None)

    async def _columns(self, request: Request) -> Response:
        service = await self._grades(request)
        if request.method == "POST":
            answer = service.handle_resp(service.handle_create_lineitem)
            return _told(answer, answer.result)
        answer = service.handle_resp(service.handle_get_lineitems)
        found = answer.result or {}
        return _told(answer, found.get("content"), found.get("next"))

    async def _column(self, request: Request) -> Response:
        service, id = await self._grades(request), request.path_params["column"]
        does = {"GET": service.handle_get_lineitem, "PUT": service.handle_update_lineitem}
        answer = service.handle_resp(does.get(request.method, service.handle_delete_lineitem), line_item_id=id)
        return _told(answer, answer.result)

    async def _score(self, request: Request) -> Response:
        service = await self._grades(request)
        answer = service.handle_resp(service.handle_update_score, line_item_id=request.path_params["column"])
        return _told(answer, answer.result)

    async def _results(self, request: Request) -> Response:
        service = await self._grades(request)
        answer = service.handle_resp(service.handle_get_results, line_item_id=request.path_params["column"])
        found = answer.result or {}
        return _told(answer, found.get("content"), found.get("next"))

    async def _grades(self, request: Request) -> "Grades":
        id = request.path_params.get("column")
        service = Grades(
            await asked(request), self.conf(), self.columns_url(), f"{self.columns_url()}/{id}" if id else None
        )
        service.platform = self
        return service


class Grades(AssignmentsGradesService):  # type: ignore[misc]
    """Columns and results in memory."""

    platform: Foreign

    def find_lineitems(self, page: int = 1, limit: int | None = None, **named: Any) -> dict[str, Any]:
        wanted = {"resource_id": "resourceId", "tag": "tag", "resource_link_id": "resourceLinkId"}
        rows = [
            one
            for one in self.platform.columns.values()
            if not self.platform.filters
            or all(one.get(wanted[name]) == value for name, value in named.items() if name in wanted)
        ]
        return _page(rows, page)

    def find_lineitem(self, line_item_id: str) -> dict[str, Any]:
        if line_item_id not in self.platform.columns:
            raise LineItemNotFoundException
        return self.platform.columns[line_item_id]

    def create_lineitem(self, creation_data: dict[str, Any]) -> dict[str, Any]:
        self.platform.made += 1
        id = f"li-{self.platform.made}"
        made = {**creation_data, "id": f"{self.platform.columns_url()}/{id}"}
        self.platform.columns[id] = made
        return made

    def update_lineitem(self, update_data: dict[str, Any]) -> dict[str, Any]:
        self.find_lineitem(update_data["id"]).update(update_data)
        return self.find_lineitem(update_data["id"])

    def delete_lineitem(self, line_item_id: str) -> None:
        self.find_lineitem(line_item_id)
        del self.platform.columns[line_item_id]
        self.platform.results = {key: one for key, one in self.platform.results.items() if key[0] != line_item_id}

    def update_score(self, line_item_id: str, score: dict[str, Any]) -> UpdateScoreStatus:
        self.find_lineitem(line_item_id)
        before = self.platform.results.get((line_item_id, score["userId"]))
        if before is not None and before["timestamp"] >= score["timestamp"]:
            return UpdateScoreStatus.OLD_TIMESTAMP
        self.platform.results[line_item_id, score["userId"]] = score
        return UpdateScoreStatus.SUCCESS if before else UpdateScoreStatus.CREATED

    def get_results(
        self, line_item_id: str, page: int = 1, limit: int | None = None, user_id: str | None = None
    ) -> dict[str, Any]:
        self.find_lineitem(line_item_id)
        rows = [
            {"id": f"{self.ags.lineitem_url}/results/{who}", "userId": who, "comment": score.get("comment")}
            for (column, who), score in self.platform.results.items()
            if column == line_item_id and user_id in (None, who)
        ]
        return _page(rows, page)


class Members(NamesRoleProvisioningService):  # type: ignore[misc]
    """Who is in the one course."""

    platform: Foreign

    def get_member_data_page(self, page: int = 1, **named: Any) -> dict[str, Any]:
        return _page(self.platform.members, page)

    def get_context_by_id(self) -> Context:
        return Context(id=COURSE, label="R7A", title="Reading 7A")


class Login(OIDCLoginAbstract):  # type: ignore[misc]
    def set_hint(self) -> "Login":
        self.set_lti_message_hint()
        return self

    def set_lti_message_hint(self, **named: Any) -> None:
        self._lti_message_hint = "link-1"

    def get_redirect(self, url: str) -> str:
        return url


class Launch(LTIAdvantageMessageLaunchAbstract):  # type: ignore[misc]
    def render_launch_form(self, launch_data: dict[str, Any], **named: Any) -> dict[str, Any]:
        return launch_data


class Query(Asked):  # type: ignore[misc]
    """A request in the package's own shape."""

    def build_metadata(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"get_data": request, "form_data": {}, **request}


async def asked(request: Request) -> Query:
    body = await request.json() if await request.body() else None
    query: dict[str, Any] = dict(request.query_params)
    if "page" in query:
        query["page"] = int(query["page"])
    said = {"method": request.method, "headers": {"Authorization": request.headers.get("authorization", "")}}
    made = Query({})
    made.request = {**said, "get_data": query, "form_data": {}, "json": body, "path": request.url.path}
    return made


def _page(rows: list[Any], page: int) -> dict[str, Any]:
    return {"content": rows[(page - 1) * PAGE : page * PAGE], "has_next": page * PAGE < len(rows)}


def _told(answer: Any, body: Any, following: str | None = None) -> Response:
    headers = {"link": generate_next_link(following)} if following else {}
    if body is None:
        return Response(status_code=answer.code, headers=headers)
    return JSONResponse(body, answer.code, headers=headers, media_type=answer.media_type)


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 401)


@contextmanager
def foreign(tool_keys: str, login: str = "", launch: str = "") -> Iterator[Foreign]:
    """The platform on a socket. `tool_keys` is where it reads our keys."""
    there = Foreign(tool_keys, login, launch)
    refusals: dict[Any, Callable[..., Any]] = {LtiException: _refused}
    with serve(Starlette(routes=there.routes(), exception_handlers=refusals)) as url:
        there.url = url
        there.registration.set_iss(url)
        yield there
