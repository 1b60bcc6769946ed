"""What the server tells about itself without a token: discovery, dependencies, OpenAPI."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.edfi.twin.release import Release

# Ed-Fi: parents before children; people come twice, because a key may change a person only after the
# association that relates the person to its education organization.
_ORDER = (
    ("localEducationAgencies", 4),
    ("schools", 5),
    ("sessions", 9),
    ("courses", 9),
    ("programs", 9),
    ("courseOfferings", 10),
    ("sections", 11),
    ("assessments", 12),
    ("objectiveAssessments", 13),
    ("studentSchoolAssociations", 14),
    ("studentEducationOrganizationAssociations", 15),
    ("studentContactAssociations", 15),
    ("studentParentAssociations", 15),
    ("studentSectionAssociations", 15),
    ("studentAssessments", 15),
    ("studentProgramAssociations", 15),
    ("staffEducationOrganizationAssignmentAssociations", 19),
    ("staffSectionAssociations", 20),
    ("interventions", 20),
    ("cohorts", 20),
    ("studentCohortAssociations", 21),
    ("staffCohortAssociations", 21),
    ("studentInterventionAssociations", 21),
)
_PEOPLE = (("students", 3, 15), ("contacts", 3, 16), ("parents", 3, 16), ("staffs", 17, 20))


class Metadata:
    """The anonymous documents of one release. `names` are the resources it serves, `year` its school year."""

    def __init__(self, release: Release, names: Iterable[str], *, year: int, page_limit: int) -> None:
        self._release = release
        self._names = list(names)
        self._page_limit = page_limit
        # Ed-Fi: up to 6.2 a server in Year Specific mode has the year behind the area of the path.
        self._year = "" if release.modern else f"/{year}"
        self.data_path = f"/data/v3{self._year}"
        self.change_path = f"/changeQueries/v1{self._year}"

    def routes(self) -> list[Route]:
        metadata = f"/metadata{self._year}"
        return [
            Route("/", self._discovery),
            Route(f"/metadata{self.data_path}/dependencies", self._dependencies),
            Route(metadata, self._specifications),
            Route(f"/metadata{self.data_path}/resources/swagger.json", self._specification),
        ]

    def data_url(self, request: Request) -> str:
        return _address(request) + self.data_path

    async def _discovery(self, request: Request) -> Response:
        base, release = _address(request), self._release
        # Ed-Fi: whether the addresses end with a slash changed with the releases.
        end = "/" if release.modern else ""
        return JSONResponse(
            {
                "version": release.version,
                "informationalVersion": release.version,
                "suite": "3",
                "build": f"{release.version}.0.0",
                **({} if release.modern else {"apiMode": "Year Specific"}),
                "dataModels": [
                    {
                        "name": "Ed-Fi",
                        "version": f"{release.standard}.0",
                        "informationalVersion": f"The Ed-Fi Data Model {release.standard}",
                    }
                ],
                "urls": {
                    "dependencies": f"{base}/metadata{self.data_path}/dependencies",
                    "openApiMetadata": f"{base}/metadata{self._year}",
                    "oauth": f"{base}/oauth/token",
                    "dataManagementApi": f"{base}{self.data_path}{end}",
                    **({} if release.changes == "off" else {"changeQueries": f"{base}{self.change_path}{end}"}),
                },
            }
        )

    async def _dependencies(self, request: Request) -> Response:
        both = ["Create", "Update"]
        listed = [(name, 1, both) for name in self._names if name.endswith("Descriptors")]
        listed += [(name, order, both) for name, order in _ORDER]
        for name, create, update in _PEOPLE:
            listed += [(name, create, both[:1]), (name, update, both[1:])]
        return JSONResponse(
            [
                {"resource": f"/ed-fi/{name}", "order": order, "operations": operations}
                for name, order, operations in sorted(listed, key=lambda one: (one[1], one[0]))
                if name in self._names
            ]
        )

    async def _specifications(self, request: Request) -> Response:
        address = f"{_address(request)}/metadata{self.data_path}/resources/swagger.json"
        return JSONResponse([{"name": "Resources", "endpointUri": address, "prefix": ""}])

    async def _specification(self, request: Request) -> Response:
        """Only what a client reads from it: the paths, and how long a page may be."""
        limit = {"type": "integer", "minimum": 0, "maximum": self._page_limit, "default": 25}
        parameter = {"name": "limit", "in": "query"}
        document = {
            "info": {"title": "Ed-Fi Operational Data Store API", "version": "3"},
            "paths": {f"/ed-fi/{name}": {} for name in self._names},
        }
        if self._release.modern:
            parameters = {"limit": {**parameter, "schema": limit}}
            return JSONResponse({"openapi": "3.0.1", **document, "components": {"parameters": parameters}})
        return JSONResponse({"swagger": "2.0", **document, "parameters": {"limit": {**parameter, **limit}}})


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")
