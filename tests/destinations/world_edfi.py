"""An Ed-Fi API: a plan is a participation in a program and an intervention for each support in school."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import Any

import httpx

from connectors.edfi.server import EdfiSettings
from connectors.edfi.twin import twin
from synthetic import build
from tests.destinations.world import ODD, There, World, wired

DISTRICT = build(schools=1, students=24, seed=11)
OURS = ("studentProgramAssociations", "interventions", "studentInterventionAssociations")


class Ods(There):
    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        given = {"base_url": self.url, "key": "demo-key", "secret": "demo-secret"}
        given |= {"private_addresses": ["127.0.0.1: a twin"], "education_organization_id": DISTRICT.number}
        made = EdfiSettings.model_validate(given)
        return made.model_dump(mode="json", exclude={"secret"}), {"secret": "demo-secret"}

    def standing(self) -> Mapping[str, str]:
        """What has ended is left out, and with an intervention who takes part in it."""
        rows = {name: self._client.get(name, params={"limit": 500}).json() for name in OURS}
        gone = {row["interventionIdentificationCode"] for row in rows["interventions"] if _over(row)}
        return {
            f"{name}/{row['id']}": json.dumps(row, ensure_ascii=False)
            for name, found in rows.items()
            for row in found
            if not _over(row) and _code(row) not in gone
        }

    def edit(self, id: str, word: str) -> None:
        row = self._client.get(id).json()
        row["diagnosticStatement"] = word
        assert self._client.put(id, json=row).status_code < 300

    @cached_property
    def _client(self) -> httpx.Client:
        urls = httpx.get(f"{self.url}/", verify=False).json()["urls"]
        grant = {"grant_type": "client_credentials"}
        token = httpx.post(urls["oauth"], data=grant, auth=("demo-key", "demo-secret"), verify=False).json()
        return httpx.Client(
            base_url=urls["dataManagementApi"].rstrip("/") + "/ed-fi",
            headers={"Authorization": f"Bearer {token['access_token']}"},
            verify=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )


def _over(row: Mapping[str, Any]) -> bool:
    return str(row.get("endDate") or "9999") <= date.today().isoformat()


def _code(row: Mapping[str, Any]) -> str:
    return str(row.get("interventionReference", {}).get("interventionIdentificationCode", ""))


class EdfiWorld(World):
    name = "edfi"
    shows = ("need",)
    choices: Mapping[str, Any] = {"include_need_statements": True}
    # # Ed-Fi ODS: a text with what looks like markup is refused as dangerous, and the delivery says so
    odd = ODD | {"need": '5 > 4 & "Ruhe", it\'s naïve 🐢🏳️‍🌈 𝒜 يقرأ ‏(עברית)‏ ' + "x" * 101}

    @contextmanager
    def serve(self) -> Iterator[There]:
        with wired(twin(DISTRICT), lambda method, path, body: method in ("POST", "PUT") and "/ed-fi/" in path) as (
            url,
            wire,
        ):
            yield Ods(url, wire)


WORLD = EdfiWorld()
