"""OneRoster 1.1 and 1.2, services and CSV packages: rosters and results out of them."""

from connectors.oneroster.client import RestSource
from connectors.oneroster.deliveries import Deltas, open_package
from connectors.oneroster.files import FileSource
from connectors.oneroster.letter import letter
from connectors.oneroster.models import RESOURCES
from connectors.oneroster.settings import OneRosterSettings, auth
from connectors.oneroster.sink import open_sink
from gateway.connector import Connector
from gateway.http import Http
from gateway.inbox import Nothing


async def open_source(settings: OneRosterSettings, http: Http) -> RestSource | FileSource | Deltas | Nothing:
    """The service or the package, whichever the settings name."""
    return await open_package(settings) if settings.path else RestSource(settings, http)


CONNECTOR = Connector(
    name="oneroster",
    title="OneRoster (service or CSV files)",
    settings=OneRosterSettings,
    auth=auth,
    open_source=open_source,
    open_sink=open_sink,
    resources=tuple(RESOURCES.values()),
    letter=letter,
    writes=lambda settings: settings.get("write", "no") != "no",
)
