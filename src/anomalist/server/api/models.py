"""``/v1/models``: what answers, its versions, and what people decide about them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from anomalist.server.api.asking import Asked, require
from anomalist.server.principals import Principal
from anomalist.server.telling import history_dict, model_dict

router = APIRouter(prefix="/v1/models", tags=["models"])

Note = Annotated[str, Field(max_length=2000, description="Why, for those who read it later.")]
# A database counts no further.
Number = Annotated[int, Field(ge=1, lt=2**31, description="Of the version, within its model.")]


class Choice(BaseModel):
    """A version, and why."""

    model_config = ConfigDict(extra="forbid")
    version: Number
    note: Note = ""


class Change(BaseModel):
    """What decisions are for; both empty go back to what the model was fitted for."""

    model_config = ConfigDict(extra="forbid")
    alpha: Annotated[float | None, Field(description="The rate of false alarms.")] = None
    threshold: Annotated[
        float | None, Field(description="A score instead, for the version that answers alone.")
    ] = None
    note: Note = ""


@router.get("")
def models(service: Asked, _principal: Annotated[Principal, require("inspect")]) -> dict[str, Any]:
    """List the models, each with what answers for it."""
    return {
        "models": [model_dict(history) for history in service.versions.histories()],
        "next": None,
    }


@router.get("/{name}")
def model(
    service: Asked, name: str, _principal: Annotated[Principal, require("review")]
) -> dict[str, Any]:
    """Return a model with its versions, promotions, drops and settings, the last first."""
    return history_dict(service.versions.history(name))


@router.post("/{name}/promote")
def promote(
    service: Asked, name: str, choice: Choice, principal: Annotated[Principal, require("admin")]
) -> dict[str, Any]:
    """Have a version answer: a candidate, or an earlier one again."""
    history = service.versions.promote(name, choice.version, by=principal.name, note=choice.note)
    return history_dict(history)


@router.post("/{name}/drop")
def drop(
    service: Asked, name: str, choice: Choice, principal: Annotated[Principal, require("admin")]
) -> dict[str, Any]:
    """Leave a candidate; its file stays until the disk is full."""
    history = service.versions.drop(name, choice.version, by=principal.name, note=choice.note)
    return history_dict(history)


@router.post("/{name}/settings")
def settings(
    service: Asked, name: str, asked: Change, principal: Annotated[Principal, require("admin")]
) -> dict[str, Any]:
    """Change the rate of false alarms that decisions are for, or the threshold itself."""
    service.registry.decide_by(
        name, alpha=asked.alpha, threshold=asked.threshold, by=principal.name, note=asked.note
    )
    return history_dict(service.versions.history(name))
