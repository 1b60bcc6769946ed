"""Where a server of one release has its paths, with the segments that say which data is meant."""

from connectors.edfi.twin.release import Release

EDFI_TENANT = "mapleridge"
INSTANCE = "west"
# What a server that is asked without its segments writes in their place (inferred from its route templates).
_OPEN = {"edfi_tenant": "{tenantIdentifier}", "instance": "{instanceId}", "year": "{schoolYearFromRoute}"}


class Addresses:
    """All paths of one server; those of an `unnamed` one have names of segments in braces instead of the segments."""

    def __init__(self, release: Release, year: int, *, unnamed: bool = False) -> None:
        values = _OPEN if unnamed else {"edfi_tenant": EDFI_TENANT, "instance": INSTANCE, "year": str(year)}
        names = release.route.split("/") if release.route else []
        segments = "".join(f"/{values[name]}" for name in names)
        # Ed-Fi: up to 6.2 the segments stand behind the area of the path, from 7.0 on before it.
        before, after = (segments, "") if release.segments_first else ("", segments)
        owners = "".join(f"/{values[name]}" for name in names if name in ("edfi_tenant", "instance"))
        self.root = before
        self.data = f"{before}/data" if release.eight else f"{before}/data/v3{after}"
        self.changes = f"{before}/changeQueries/v1{after}"
        # Ed-Fi: a key belongs to one tenant, and up to 6.2 to one instance, but to every year of it.
        self.token = f"{before if release.eight else owners}/oauth/token"
        self.form_token = f"{before}/connect/token" if release.eight else ""
        if release.eight:
            self.dependencies = f"{before}/metadata/dependencies"
            self.specifications = f"{before}/metadata/specifications"
            self.specification = f"{before}/metadata/specifications/{{area}}-spec.json"
        else:
            self.dependencies = f"{before}/metadata/data/v3{after}/dependencies"
            self.specifications = f"{before}/metadata{after}"
            self.specification = f"{before}/metadata/data/v3{after}/{{area}}/swagger.json"
