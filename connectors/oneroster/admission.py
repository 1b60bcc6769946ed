"""Which kind of credentials a OneRoster server accepts: tried one after the other, as far as nobody has said."""

from collections.abc import Iterator
from dataclasses import replace

from connectors.oneroster.catalogue import VERSIONS, scopes_of
from connectors.oneroster.server import Server
from connectors.oneroster.settings import AUTO, Dialect, OneRosterSettings, auth, dialect
from gateway.connector import Finding
from gateway.errors import AuthError, ConfigError, PlanbridgeError
from gateway.http import Http, MemoryTokens, Pace


async def let_in(settings: OneRosterSettings) -> tuple[OneRosterSettings, list[Finding]]:
    """The settings with the first kind of credentials that is accepted, and what is to be said of it. Raises the
    first refusal where none is."""
    refused: PlanbridgeError | None = None
    for given in _ways(settings):
        tried = settings.model_copy(update=given)
        try:
            async with way_out(tried) as own:
                seen = await _signed_in(dialect(tried), own)
        except (AuthError, ConfigError) as error:
            refused = refused or error
            continue
        return tried, [replace(seen[0], propose=given), *seen[1:]]
    assert refused is not None
    raise refused


def _ways(settings: OneRosterSettings) -> Iterator[dict[str, str]]:
    """What to say of credentials, one way after the other: what nobody set may be varied. Never a secret in a query:
    who asks for that is Infinite Campus, whose preset says so."""
    spoken = dialect(settings)
    if spoken.auth.startswith("oauth1"):
        yield {"auth": spoken.auth}
        if settings.auth == AUTO:
            yield {"auth": "oauth1-sha1" if spoken.auth == "oauth1-sha256" else "oauth1-sha256"}
    elif spoken.auth == "bearer":
        yield {"auth": "bearer"}
    else:
        styles = [spoken.token_style] if spoken.token_style != AUTO else ["basic", "form"]
        scopes = [spoken.scopes]
        if settings.scopes == AUTO:
            others = [" ".join(scopes_of(spoken.collections, version, spoken.write)) for version in VERSIONS]
            scopes = list(dict.fromkeys((spoken.scopes, *others, "")))
        for asked in scopes:
            for style in styles:
                same = {"scopes": AUTO} if asked == spoken.scopes and settings.scopes == AUTO else {"scopes": asked}
                yield {"auth": "oauth2", "token_style": style, **same}


def way_out(settings: OneRosterSettings) -> Http:
    return Http(
        auth(settings),
        tokens=MemoryTokens(),
        network=settings.network,
        in_flight=settings.in_flight,
        pace=Pace(settings.requests_per_second),
        timeout=settings.patience,
    )


async def _signed_in(spoken: Dialect, http: Http) -> list[Finding]:
    """Raises what refuses the credentials."""
    if spoken.auth != "oauth2":
        await Server(spoken, http).page("orgs", 0, 1, natural=True)
        return [Finding(True, f"The service accepts these credentials ({spoken.auth}).")]
    token = await http.token()
    style = "" if spoken.token_style == AUTO else f", asked for by {spoken.token_style}"
    seen = [Finding(True, f"The service gave a token{style}{'' if spoken.scopes else ', without any scope'}.")]
    missing = sorted(set(spoken.scopes.split()) - set(token.scope.split()))
    return seen + [Finding(False, f"The token lacks the scope {scope}.", ask_for(scope)) for scope in missing]


def ask_for(scope: str) -> str:
    """What to do about a scope that is missing."""
    return f"Ask the vendor for {scope}; until then that part is left out."
