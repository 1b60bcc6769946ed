"""A browser as far as signing in needs one: it fills forms and keeps cookies, which httpx sends over TLS only."""

import html
import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

import httpx


@dataclass
class Browser:
    http: httpx.AsyncClient
    language: str = "en"
    cookies: dict[str, str] = field(default_factory=dict)
    set: list[str] = field(default_factory=list)
    page: str = ""

    async def get(self, url: str) -> httpx.Response:
        return self._kept(await self.http.get(url, headers=self._headers()))

    async def post(self, url: str, data: dict[str, str]) -> httpx.Response:
        return self._kept(await self.http.post(url, data=data, headers=self._headers()))

    async def fill(self, url: str, **given: str) -> httpx.Response:
        """Send the form of the page that is shown, with what is given filled in."""
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', self.page)
        return await self.post(url, {name: html.unescape(value) for name, value in hidden} | given)

    def _headers(self) -> dict[str, str]:
        said = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"accept-language": self.language} | ({"cookie": said} if said else {})

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        for line in answer.headers.get_list("set-cookie"):
            self.set.append(line)
            # Python knows `Partitioned` from 3.14 on, and drops a line with it before.
            for name, morsel in SimpleCookie(line.replace("; Partitioned", "")).items():
                self.cookies.pop(name, None)
                if morsel.value:
                    self.cookies[name] = morsel.value
        self.page = answer.text
        return answer
