"""What the server remembers: models and their versions, inspections, verdicts, who did what."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_ID = re.compile(r"[0-9a-f]{24}")
# SQLite counts up only what it calls INTEGER, which has 64 bits there.
Number = BigInteger().with_variant(Integer(), "sqlite")


class Moment(TypeDecorator[datetime]):
    """A time with its zone, which SQLite doesn't keep: there it is UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time as UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a name that nobody can guess."""
    return secrets.token_hex(12)


def is_id(value: str) -> bool:
    """Whether a text may be such a name: others needn't be looked up, or can't be."""
    return _ID.fullmatch(value) is not None


class Table(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        datetime: Moment,
    }


class Model(Table):
    """A model that is asked for by its name, whichever version answers."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created: Mapped[datetime] = mapped_column(default=now)
    versions: Mapped[list[Version]] = relationship(
        back_populates="model", order_by="Version.number"
    )


class Version(Table):
    """A model file, which never changes and, but for one that was dropped, is never deleted."""

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("model_id", "number"),
        UniqueConstraint("model_id", "sha256"),
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    #: 1, 2, ... within its model.
    number: Mapped[int]
    #: ``candidate`` until a person has decided, ``accepted``, or ``dropped``.
    state: Mapped[str] = mapped_column(String(20))
    #: Of the model's file, which is kept under this name.
    sha256: Mapped[str] = mapped_column(String(64))
    #: What `anomalist info` says of it.
    card: Mapped[dict[str, Any]]
    created: Mapped[datetime] = mapped_column(default=now)
    by: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(Text, default="")
    #: The version that it was refitted from.
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))
    #: Whether its file is kept; that of one that was dropped goes when the disk is full.
    kept: Mapped[bool] = mapped_column(default=True, server_default=true())
    model: Mapped[Model] = relationship(back_populates="versions")
    parent: Mapped[Version | None] = relationship(remote_side="Version.id")


class Promotion(Table):
    """That a version was made the one that answers; the last one of a model holds."""

    __tablename__ = "promotions"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    at: Mapped[datetime] = mapped_column(default=now)
    by: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[Version] = relationship()


class Drop(Table):
    """That a person did not want a candidate."""

    __tablename__ = "drops"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)
    at: Mapped[datetime] = mapped_column(default=now)
    by: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[Version] = relationship()


class Setting(Table):
    """What a model's decisions are for, from a time on; the latest row holds."""

    __tablename__ = "settings"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    #: The rate of false alarms asked for; None for that of the fit.
    alpha: Mapped[float | None]
    #: A score instead of what the calibration gives; None for the calibration's.
    threshold: Mapped[float | None]
    #: The version on whose scale the threshold is: another version's decisions don't go by it.
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    at: Mapped[datetime] = mapped_column(default=now)
    by: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(Text, default="")


class Inspection(Table):
    """One photograph, and what was answered of it."""

    __tablename__ = "inspections"
    __table_args__ = (
        Index("ix_inspections_model_at", "model_id", "number"),
        Index("ix_inspections_decision", "model_id", "decision", "number"),
        # What counts need stands in an index beside what it orders: rows are wide.
        Index("ix_inspections_at", "at", "model_id", "decision"),
        Index("ix_inspections_camera", "camera", "number", "model_id", "decision"),
        Index("ix_inspections_version", "version_id", "number", "decision"),
        Index("ix_inspections_token", "token_id", "number"),
        # Of the review queue; by ``kept`` first, or SQLite would take it for pages of a decision.
        Index("ix_inspections_review", "kept", "decision", "p_value", "model_id", "camera"),
    )

    #: In the order in which they were committed.
    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(24), unique=True, default=new_id)
    #: What the client calls its request: sent twice, it is answered twice and kept once.
    key: Mapped[str | None] = mapped_column(String(200), unique=True)
    at: Mapped[datetime] = mapped_column(default=now)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    #: The token that asked; None for the server's own sources, or where there are no tokens.
    token_id: Mapped[int | None] = mapped_column(ForeignKey("tokens.id"))
    #: ``http``, ``page``, ``folder``, ``mqtt`` or ``camera``.
    source: Mapped[str] = mapped_column(String(20))
    #: Which camera or station, as the client or the configuration calls it.
    camera: Mapped[str | None] = mapped_column(String(200))
    #: The file's name as it came, for people.
    name: Mapped[str] = mapped_column(Text)
    #: Of the bytes as they came.
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    media_type: Mapped[str] = mapped_column(String(100))
    bytes: Mapped[int] = mapped_column(Number)
    width: Mapped[int]
    height: Mapped[int]
    score: Mapped[float]
    threshold: Mapped[float | None]
    alpha: Mapped[float]
    p_value: Mapped[float | None]
    #: ``normal``, ``anomalous`` or ``unsure``; None where there is no threshold.
    decision: Mapped[str | None] = mapped_column(String(20))
    regions: Mapped[list[Any] | None]
    notes: Mapped[list[Any]] = mapped_column(default=list)
    #: The numbers by which a shift is told.
    looks: Mapped[dict[str, Any] | None]
    #: Of the map's picture; None where it wasn't kept.
    heatmap: Mapped[str | None] = mapped_column(String(64))
    #: Seconds from its arrival to its commit.
    seconds: Mapped[float]
    #: Whether the photograph's and the map's files are still there.
    kept: Mapped[bool] = mapped_column(default=True, index=True)
    model: Mapped[Model] = relationship()
    version: Mapped[Version] = relationship()
    verdicts: Mapped[list[Verdict]] = relationship(
        back_populates="inspection", order_by="Verdict.id"
    )


class Verdict(Table):
    """What a person says of an inspected part; the last one of an inspection holds."""

    __tablename__ = "verdicts"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    inspection_id: Mapped[int] = mapped_column(ForeignKey("inspections.number"), index=True)
    #: ``good`` or ``defective``.
    verdict: Mapped[str] = mapped_column(String(20))
    #: What kind of defect, in the words of the line.
    kind: Mapped[str | None] = mapped_column(String(200))
    #: Left, top, width and height in pixels of the photograph.
    region: Mapped[list[Any] | None]
    note: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(default=now)
    by: Mapped[str] = mapped_column(String(200))
    inspection: Mapped[Inspection] = relationship(back_populates="verdicts")


class Refit(Table):
    """A candidate that is being built, or was."""

    __tablename__ = "refits"

    id: Mapped[str] = mapped_column(String(24), primary_key=True, default=new_id)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    #: ``waiting``, ``running``, ``done``, ``failed`` or ``dropped``.
    state: Mapped[str] = mapped_column(String(20))
    stage: Mapped[str] = mapped_column(String(100), default="")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime] = mapped_column(default=now)
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    by: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(Text, default="")
    #: Which images give the threshold: ``others`` than the confirmed ones, ``added``, or ``all``.
    calibrate_on: Mapped[str] = mapped_column(String(20), default="others")
    #: How often it was begun: after a server that ended meanwhile, again, however often.
    begun: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    #: Which images it learns from beside the model's own, by the number of their inspections.
    learnt: Mapped[list[Any]] = mapped_column(default=list)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))
    #: The candidate beside the version that it was refitted from.
    comparison: Mapped[dict[str, Any] | None]


class Watch(Table):
    """That a camera's photographs are watched by a version, anew from a time on; the last holds.

    ``seen`` and ``state`` only spare a server that starts what it would count again.
    """

    __tablename__ = "watches"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)
    camera: Mapped[str | None] = mapped_column(String(200))
    #: Inspections with higher numbers are counted.
    began: Mapped[int] = mapped_column(Number)
    at: Mapped[datetime] = mapped_column(default=now)
    by: Mapped[str] = mapped_column(String(200))
    #: What alarms are judged by.
    alpha: Mapped[float]
    threshold: Mapped[float | None]
    #: The last inspection that ``state`` has counted.
    seen: Mapped[int] = mapped_column(Number)
    state: Mapped[dict[str, Any] | None]


class DriftWarning(Table):
    """That photographs are told to have shifted from those learnt from."""

    __tablename__ = "warnings"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    camera: Mapped[str | None] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(default=now)
    #: The condition of the promise that fails, such as ``shift`` or ``brightness_above``.
    condition: Mapped[str] = mapped_column(String(100))
    text: Mapped[str] = mapped_column(Text)
    #: The inspection at which it was told.
    inspection_id: Mapped[int | None] = mapped_column(ForeignKey("inspections.number"))
    #: The inspection since which it most likely is so; None where that isn't known.
    since_id: Mapped[int | None] = mapped_column(ForeignKey("inspections.number"))
    #: When a person has taken note of it, and who: the watch begins anew from there.
    settled: Mapped[datetime | None]
    settled_by: Mapped[str | None] = mapped_column(String(200))
    model: Mapped[Model] = relationship()
    version: Mapped[Version] = relationship()
    inspection: Mapped[Inspection | None] = relationship(foreign_keys=[inspection_id])
    since: Mapped[Inspection | None] = relationship(foreign_keys=[since_id])


class Mark(Table):
    """How far a webhook was heard, of inspections and of warnings."""

    __tablename__ = "marks"

    #: ``inspection`` or ``warning``.
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    #: Of the last one that was heard.
    number: Mapped[int] = mapped_column(Number)


class Token(Table):
    """Who may do what; of the token itself its hash alone is kept."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    #: ``inspect``, ``review`` or ``admin``; each may what those before it may.
    role: Mapped[str] = mapped_column(String(20))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(default=now)
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class SignIn(Table):
    """A browser that has signed in with a token."""

    __tablename__ = "sign_ins"

    #: Hash of what its cookie holds.
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id"), index=True)
    created: Mapped[datetime] = mapped_column(default=now)
    expires: Mapped[datetime]
    token: Mapped[Token] = relationship()


class Audit(Table):
    """What was done, by whom, from where; rows are added and never changed."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    by: Mapped[str] = mapped_column(String(200))
    address: Mapped[str | None] = mapped_column(String(100))
    #: Such as ``verdict``, ``promote``, ``settings``, ``sign in``, ``refused``.
    action: Mapped[str] = mapped_column(String(50))
    #: What it was done to, as people call it.
    subject: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
