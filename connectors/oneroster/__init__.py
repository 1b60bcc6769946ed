"""OneRoster 1.2 services and 1.1 or 1.2 CSV packages: rosters and results out of them."""

from connectors.oneroster.client import RestSource
from connectors.oneroster.files import FileSource, NoPackage, open_package
from connectors.oneroster.models import RESOURCES
from connectors.oneroster.settings import OneRosterSettings, auth
from gateway.connector import Connector
from gateway.http import Http


async def open_source(settings: OneRosterSettings, http: Http) -> RestSource | FileSource | NoPackage:
    """The service or the package, whichever the settings name."""
    return await open_package(settings) if settings.path else RestSource(settings, http)


CONNECTOR = Connector(
    name="oneroster",
    title="OneRoster (service or CSV files)",
    settings=OneRosterSettings,
    auth=auth,
    open_source=open_source,
    resources=tuple(RESOURCES.values()),
)
