"""The one-time link by which a district's first program comes in, before anybody has an account."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from gateway.store import districts
from gateway.store.clients import SCOPES

router = APIRouter(prefix="/first-admin", tags=["access"])

Token = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]


class FirstClient(BaseModel):
    """Credentials of the district's first client. The secret cannot be shown again."""

    client_id: str
    client_secret: str
    scopes: list[str] = Field(description="Every scope there is.")


@router.get("/{token}", response_class=PlainTextResponse)
async def explain(token: Token) -> str:
    """What the link is for. Looking at it uses nothing up: mail programs look at links before people do."""
    return (
        "This link makes the first client of a school district's Planbridge, once. It has no page: send it a POST, "
        "for instance with curl -X POST and this address, and keep the id and the secret that it answers.\n"
    )


@router.post("/{token}", status_code=201)
async def redeem(token: Token, request: Request) -> FirstClient:
    """Make the district's first client, with every scope. A link works once, and for 72 hours."""
    made = await districts.redeem(request.app.state.store, token)
    if made is None:
        raise HTTPException(404, "The link is not known, was used, or is too old. Ask for another one.")
    return FirstClient(client_id=made[0], client_secret=made[1], scopes=sorted(SCOPES))
