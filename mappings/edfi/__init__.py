"""Ed-Fi and the common schema: records in, plans out."""

from pathlib import Path

from gateway.mapping import Mapping
from mappings.edfi.inbound import INBOUND

MAPPING = Mapping(
    name="edfi",
    version="1",
    inbound=INBOUND,
    crosswalks=Path(__file__).parent / "crosswalks",
)
