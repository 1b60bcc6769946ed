"""A OneRoster 1.2 gradebook: a plan is an exempt result with a comment, in the classes that are switched on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import httpx

from connectors.oneroster.settings import OneRosterSettings
from connectors.oneroster.twin import twin
from synthetic import build
from tests.destinations.world import There, World, wired

ROOT = "/ims/oneroster/gradebook/v1p2"


class Gradebook(There):
    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        given = {"base_url": self.url, "token_url": f"{self.url}/token", "client_id": "demo-client", "write": "put"}
        secrets = {"client_secret": "demo-secret"}
        made = OneRosterSettings.model_validate({**given, **secrets, "private_addresses": ["127.0.0.1: a twin"]})
        return made.model_dump(mode="json", exclude={"client_secret", "proxy"}), secrets

    def standing(self) -> Mapping[str, str]:
        rows = self._client.get(f"{ROOT}/results", params={"limit": 1000}).json()["results"]
        ours = [row for row in rows if row["sourcedId"].startswith("planbridge-") and row["status"] == "active"]
        return {row["sourcedId"]: json.dumps(row, ensure_ascii=False) for row in ours}

    def totals(self) -> Mapping[str, tuple[int, float]]:
        """Student and class -> how many results count, and their points: what any total of a gradebook is made of."""
        found: dict[str, tuple[int, float]] = {}
        for row in self._client.get(f"{ROOT}/results", params={"limit": 1000}).json()["results"]:
            if row["status"] == "active" and row["scoreStatus"] != "exempt":
                of = f"{row['student']['sourcedId']} {row['class']['sourcedId']}"
                count, points = found.get(of, (0, 0.0))
                found[of] = count + 1, points + float(row.get("score") or 0)
        return found

    def edit(self, id: str, word: str) -> None:
        row = self._client.get(f"{ROOT}/results/{id}").json()["result"]
        row["comment"] = word
        assert self._client.put(f"{ROOT}/results/{id}", json={"result": row}).status_code < 300

    @cached_property
    def _client(self) -> httpx.Client:
        scopes = " ".join(
            f"https://purl.imsglobal.org/spec/or/v1p2/scope/gradebook.{verb}" for verb in ("readonly", "createput")
        )
        grant = {"grant_type": "client_credentials", "scope": scopes}
        token = httpx.post(f"{self.url}/token", data=grant, auth=("demo-client", "demo-secret"), verify=False).json()
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token['access_token']}"},
            verify=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )


class OneRosterWorld(World):
    name = "oneroster"
    shows = ("strength", "goal", "support")
    choices = dict.fromkeys(("include_strengths", "include_goals", "include_supports", "include_review"), True)

    @contextmanager
    def serve(self) -> Iterator[There]:
        writes = ("PUT", "DELETE", "POST")
        with wired(
            twin(build(schools=1, students=24, seed=11)),
            lambda method, path, body: method in writes and not path.endswith("/token"),
        ) as (url, wire):
            yield Gradebook(url, wire)

    def chosen(self, classes: Sequence[str]) -> Mapping[str, Any]:
        return {**self.choices, "classes": list(classes[:1])}


WORLD = OneRosterWorld()
