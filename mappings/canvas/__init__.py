"""Canvas and the common schema: plans out."""

from pathlib import Path

from gateway.mapping import Mapping
from mappings.canvas.outbound import CanvasProfile, outbound

MAPPING = Mapping(
    name="canvas",
    version="1",
    inbound={},
    outbound=outbound,
    profile=CanvasProfile,
    crosswalks=Path(__file__).parent / "crosswalks",
)
