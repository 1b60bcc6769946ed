"""What the server tells about itself without a token: discovery, dependencies, OpenAPI."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.edfi.twin import refusals
from connectors.edfi.twin.addresses import Addresses
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.specification import Specification

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
_LAST = 22
_PEOPLE = (("students", 3, 15), ("contacts", 3, 16), ("parents", 3, 16), ("staffs", 17, 20))


class Metadata:
    """The anonymous documents of one release. `paths` are the resources it serves by name, `year` its school year."""

    def __init__(self, release: Release, paths: Mapping[str, str], specification: Specification, *, year: int) -> None:
        self._release = release
        self._names = paths
        self._specification = specification
        self._year = year
        self.addresses = Addresses(release, year)

    def routes(self) -> list[Route]:
        at = self.addresses
        # Ed-Fi: from 7.0 on a server describes itself below its segments too, with their values.
        named = [Route(f"{at.root}/", self._discovery)] if at.root else []
        return [
            Route("/", self._discovery),
            *named,
            Route(at.dependencies, self._dependencies),
            Route(at.specifications, self._specifications),
            Route(at.specification, self._specified),
        ]

    def data_url(self, request: Request) -> str:
        return _address(request) + self.addresses.data

    async def _discovery(self, request: Request) -> Response:
        release, at = self._release, self.addresses
        if at.root and not request.url.path.endswith(f"{at.root}/"):
            at = Addresses(release, self._year, unnamed=True)
        model = {"name": "Ed-Fi", "version": release.model}
        model["informationalVersion"] = f"The Ed-Fi Data Model {release.model}"
        return JSONResponse({**self._program(), "dataModels": [model], "urls": self._urls(_address(request), at)})

    def _program(self) -> dict[str, str]:
        release = self._release
        said = {"version": release.version, "informationalVersion": release.version, "build": f"{release.version}.0.0"}
        if release.eight:
            return {"applicationName": "Ed-Fi API", **said}
        return {**said, "suite": "3", **({"apiMode": release.mode} if release.mode else {})}

    def _urls(self, base: str, at: Addresses) -> dict[str, str]:
        release, end = self._release, self._release.slash
        return {
            "dependencies": base + at.dependencies,
            "openApiMetadata": base + at.specifications,
            "oauth": base + at.token,
            "dataManagementApi": f"{base}{at.data}{end}",
            **({"tokenInfo": f"{base}{at.token}_info"} if release.eight else {}),
            **({} if release.changes == "off" else {"changeQueries": f"{base}{at.changes}{end}"}),
        }

    async def _dependencies(self, request: Request) -> Response:
        both = ["Create", "Update"]
        listed = [(name, 1, both) for name in self._names if name.endswith("Descriptors")]
        listed += [(name, order, both) for name, order in _ORDER]
        for name, create, update in _PEOPLE:
            if self._release.people_twice:
                listed += [(name, create, both[:1]), (name, update, both[1:])]
            else:
                listed.append((name, create, both))
        known = {one[0] for one in listed}
        # An extension comes after all of the core, in the order in which it was opened.
        others = [name for name in self._names if name not in known]
        core = [name for name in others if self._names[name].startswith("ed-fi/")]
        listed += [(name, _LAST, both) for name in core]
        listed += [(name, _LAST + 1 + n, both) for n, name in enumerate(one for one in others if one not in core)]
        return JSONResponse(
            [
                {"resource": f"/{self._names[name]}", "order": order, "operations": operations}
                for name, order, operations in sorted(listed, key=lambda one: (one[1], one[0]))
                if name in self._names
            ]
        )

    async def _specifications(self, request: Request) -> Response:
        base = _address(request) + self.addresses.specification
        return JSONResponse(
            [
                {"name": area.title(), "endpointUri": base.replace("{area}", area), "prefix": ""}
                for area in ("resources", "descriptors")
            ]
        )

    async def _specified(self, request: Request) -> Response:
        area = request.path_params["area"]
        if area not in ("resources", "descriptors"):
            raise refusals.no_such_data()
        return JSONResponse(self._specification.document(area, self.data_url(request)))


def _address(request: Request) -> str:
    """Of the program, with the path that it was mounted at."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"
