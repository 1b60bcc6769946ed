"""Canvas, over its REST interface: plans into it, one student at a time; nothing is read out of it."""

from connectors.canvas.settings import CanvasSettings, auth, grant
from connectors.canvas.sink import open_sink
from gateway.connector import Connector

CONNECTOR = Connector(
    name="canvas",
    title="Canvas",
    settings=CanvasSettings,
    auth=auth,
    open_sink=open_sink,
    keeps_roster=False,
    place="lms",
    grant=grant,
)
