"""Ed-Fi and the common schema: records in, plans out."""

from pathlib import Path

from gateway.mapping import Mapping
from mappings.edfi.inbound import INBOUND
from mappings.edfi.outbound import EdfiProfile, outbound

MAPPING = Mapping(
    name="edfi",
    version="3",
    inbound=INBOUND,
    outbound=outbound,
    outward=r"uri://[^#\s]+#\S.*",
    profile=EdfiProfile,
    crosswalks=Path(__file__).parent / "crosswalks",
)
