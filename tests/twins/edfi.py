"""An HTTP client of an Ed-Fi twin, which finds its way by discovery alone."""

from typing import Any

import httpx


class Client(httpx.Client):
    """It knows what discovery says at the twin's address, or `below` it, and holds a token."""

    def __init__(self, url: str, below: str = "") -> None:
        self.twin = url
        self.urls: dict[str, str] = httpx.get(f"{url}{below}/", verify=False).json()["urls"]
        super().__init__(base_url=self.urls["dataManagementApi"].rstrip("/") + "/ed-fi", verify=False)
        self.sign_in()

    def token(self, **how: Any) -> httpx.Response:
        form = {"data": {"grant_type": "client_credentials"}, "auth": ("demo-key", "demo-secret")}
        return httpx.post(self.urls["oauth"], verify=False, **{**form, **how})

    def sign_in(self) -> None:
        self.headers["Authorization"] = f"Bearer {self.token().json()['access_token']}"

    def all(self, resource: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self.get(resource, params={"offset": len(found), "limit": 500}).json():
            found += page
        return found

    def window(self, resource: str, **query: Any) -> list[dict[str, Any]]:
        """What is told of deletions or new keys."""
        answer = self.get(resource, params={"limit": 500, "totalCount": "true", **query})
        found: list[dict[str, Any]] = answer.json()
        assert answer.headers["total-count"] == str(len(found))
        return found

    def change(self, **what: Any) -> None:
        assert self.post(f"{self.twin}/_twin/change", json=what).status_code == 204
