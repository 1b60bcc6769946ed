"""Where on an Ed-Fi server things lie: its own addresses, with the year, the instance and the tenant they ask for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import ConfigError


@dataclass(frozen=True)
class Route:
    """What a district has entered of its place on a server that many share; empty where nothing is entered.

    `after`: whether year and instance stand behind the area of an address, as up to ODS/API 6.2; from 7.0 on, they and
    the tenant stand before it."""

    base: str
    tenant: str = ""
    instance: str = ""
    year: str = ""
    after: bool = False

    def to(self, url: str) -> str:
        """The address that a server gave, with what it lacks put in. ConfigError `edfi-route` where it asks for
        something that nobody has entered."""
        url = self._filled(url)
        if self.after:
            return self._behind_the_area(url)
        return self._before_the_area(url, [self.tenant, self.instance, self.year])

    def to_tokens(self, url: str) -> str:
        """The same for the address of tokens, which belong to a tenant and to no year."""
        return self._before_the_area(self._filled(url), [] if self.after else [self.tenant])

    def _filled(self, url: str) -> str:
        if self.after and self.tenant:
            raise _wrong("ODS/API before 7.0 has no tenants in its addresses", "Leave the tenant empty.")
        return re.sub(r"\{([^{}/]*)\}", lambda found: self._asked_for(found.group(1)), url)

    def _before_the_area(self, url: str, wanted: Sequence[str]) -> str:
        lacking = _lacking(url, wanted)
        if not lacking or not url.startswith(f"{self.base}/"):
            return url
        return "/".join([self.base, *lacking, url.removeprefix(f"{self.base}/")])

    def _asked_for(self, name: str) -> str:
        # Ed-Fi: OdsContextRouteTemplate gives these names; its usual ones are tenantIdentifier, instanceName and
        # schoolYearFromRoute.
        for part, setting, value in (
            ("tenant", "tenant", self.tenant),
            ("year", "school year", self.year),
            ("", "instance", self.instance),
        ):
            if part in name.casefold():
                if not value:
                    raise _wrong(f"its addresses ask for a {setting} ({name})", f"Enter the {setting} under Advanced.")
                return value
        raise AssertionError(name)

    def _behind_the_area(self, url: str) -> str:
        # Ed-Fi: /data/v3/{instance}/{year}, /metadata/data/v3/{instance}/{year}/dependencies, /changeQueries/v1/{...};
        # the list of OpenAPI documents is /metadata/{instance}/{year}; tokens have neither.
        found = re.match(r"(.*?/(?:data|changeQueries)/v\d+|.*/metadata(?=/?$))(/.*)?$", url)
        lacking = _lacking(url, [self.instance, self.year])
        if found is None or not lacking:
            return url
        return "/".join([found.group(1), *lacking, *filter(None, (found.group(2) or "").split("/"))])


def _lacking(url: str, wanted: Sequence[str]) -> list[str]:
    there = url.casefold().split("/")
    return [part for part in wanted if part and part.casefold() not in there]


def _wrong(what: str, fix: str) -> ConfigError:
    return ConfigError("edfi-route", f"This server's addresses do not fit the settings: {what}.", fix)
