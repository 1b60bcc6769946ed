"""Session cookies: sent back to the origin that set them, and to no other."""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from gateway.http.urls import origin


class Cookies:
    """A jar for each origin. What the standard allows beside that (other ports, hosts of the same domain) is left out:
    a token server need not learn the session of an API. Lives as long as its Http, and is written nowhere."""

    def __init__(self) -> None:
        self._jars: dict[str, httpx.Cookies] = {}

    def keep(self, response: httpx.Response) -> None:
        if "set-cookie" in response.headers:
            self._jars.setdefault(origin(response.request.url), httpx.Cookies()).extract_cookies(response)

    def add(self, request: httpx.Request) -> None:
        if (jar := self._jars.get(origin(request.url))) is not None:
            jar.set_cookie_header(request)


def no_jar() -> CookieJar:
    """For httpx, which keeps a jar of its own."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))
