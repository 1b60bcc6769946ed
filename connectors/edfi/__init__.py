"""Ed-Fi ODS/API and Ed-Fi API: rosters and results out of them, success plans into them."""

from connectors.edfi.client import open_source
from connectors.edfi.letter import letter
from connectors.edfi.resources import every_resource
from connectors.edfi.server import EdfiSettings, auth
from connectors.edfi.sink import open_sink
from gateway.connector import Connector

CONNECTOR = Connector(
    name="edfi",
    title="Ed-Fi ODS/API",
    settings=EdfiSettings,
    auth=auth,
    open_source=open_source,
    open_sink=open_sink,
    resources=tuple(every_resource()),
    letter=letter,
    # Where another system knows who there is, a server of which it knows few students is read by the wrong number.
    limits={"person": {"recognised": 0.8}},
)
