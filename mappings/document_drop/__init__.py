"""Plans as documents in a folder: out only."""

from pathlib import Path

from gateway.mapping import Mapping
from mappings.document_drop.outbound import DropProfile, outbound

MAPPING = Mapping(
    name="document_drop",
    version="1",
    inbound={},
    outbound=outbound,
    profile=DropProfile,
    crosswalks=Path(__file__).parent / "crosswalks",
)
