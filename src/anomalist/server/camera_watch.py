"""What is known of one camera's photographs, by one version of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from anomalist.conditions import LEVEL, Conditions
from anomalist.detectors import Detector
from anomalist.inspection import Rule
from anomalist.server.database.tables import Inspection, Watch
from anomalist.server.evidence import EvidencePath

#: A watch tells of a shift, of photographs beyond a range, and of alarms: of each by chance in at
#: most so many of all watches, so that all together keep `LEVEL`.
SHARE = LEVEL / 3
# Of the state that is laid down: another software's is counted again.
_FORMAT = 1


@dataclass
class CameraWatch:
    """What is known of one camera's photographs since the watch began.

    Parameters
    ----------
    id : int
        Of its row.
    camera : str or None
        None for photographs that name no camera.
    began, seen : int
        Numbers of inspections: those after the first up to the second are counted.
    conditions : Conditions
        Counts them.
    path : EvidencePath
        How the evidence of a shift went.
    told : set of str
        The conditions that warnings are open of.
    kept : bool
        Whether its state is laid down.
    """

    id: int
    camera: str | None
    began: int
    seen: int
    conditions: Conditions
    path: EvidencePath = field(default_factory=EvidencePath)
    told: set[str] = field(default_factory=set)
    kept: bool = True

    @classmethod
    def of(cls, row: Watch, detector: Detector, rule: Rule) -> Self:
        """Watch as a row says, from where its state was laid down."""
        conditions = Conditions.of(detector, rule, level=SHARE, at_once=False)
        watch = cls(row.id, row.camera, row.began, row.began, conditions)
        if row.state is not None and row.state.get("format") == _FORMAT:
            conditions.resume(row.state["conditions"])
            watch.path.resume(row.state["path"])
            watch.seen = row.seen
        return watch

    def count(self, row: Inspection) -> None:
        """Take in an inspection, in their order."""
        conditions = self.conditions
        conditions.count(row.looks, row.name, score=row.score, size=(row.width, row.height))
        self.seen, self.kept = row.number, False
        if conditions.shift is not None and row.looks:
            self.path.add(row.number, row.at, conditions.shift.evidence())

    def state(self) -> dict[str, Any]:
        """Return what is laid down of it, as JSON values."""
        return {
            "format": _FORMAT,
            "conditions": self.conditions.state(),
            "path": self.path.state(),
        }
