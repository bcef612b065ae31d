"""Which detector was chosen, out of which, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anomalist.detectors import Detector
from anomalist.detectors.judging import Judgement


@dataclass(frozen=True)
class Row:
    """What is told of a candidate.

    Parameters
    ----------
    label : str
        What it is called.
    detector : str
        Its kind.
    settings : mapping of str to Any
        In what it differs from the defaults.
    rounds : int
        In how many rounds it was judged, each on more images and made defects.
    judgement : Judgement or None
        What that gave.
    told : str
        Why it went no further, or that it was chosen.
    """

    label: str
    detector: str
    settings: Mapping[str, Any]
    rounds: int
    judgement: Judgement | None
    told: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values, what was measured as means over kinds of defect."""
        judged = self.judgement
        return {
            "label": self.label,
            "detector": self.detector,
            "settings": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.settings.items()
            },
            "rounds": self.rounds,
            "score": None if judged is None else judged.score,
            "image_AUROC": None if judged is None else judged.image_AUROC,
            "pixel_AUROC": None if judged is None else judged.pixel_AUROC,
            "pixel_PRO": None if judged is None else judged.pixel_PRO,
            "hits": None if judged is None else judged.hits,
            "milliseconds": None if judged is None else 1000 * judged.seconds_per_image,
            "told": self.told,
        }


@dataclass(frozen=True, eq=False)
class Choice:
    """A detector that was chosen from good images alone.

    Parameters
    ----------
    detector : Detector
        Unfitted.
    label : str
        What it is called among the candidates.
    rows : tuple of Row
        Of all candidates, those that came farthest first, and of these the best.
    seconds, budget : float
        That choosing took, and that it might take with the fit.
    notes : tuple of str
        What a person should know of how it was chosen.
    """

    detector: Detector
    label: str
    rows: tuple[Row, ...]
    seconds: float
    budget: float
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return all but the detector as JSON values, for a model to keep."""
        return {
            "chosen": self.label,
            "seconds": self.seconds,
            "budget": self.budget,
            "notes": list(self.notes),
            "candidates": [row.as_dict() for row in self.rows],
        }


def describe_choice(choice: Mapping[str, Any]) -> str:
    """Return the table of a choice as text.

    Parameters
    ----------
    choice : mapping
        What :meth:`Choice.as_dict` gave.

    Examples
    --------
    >>> row = Row("patchcore", "patchcore", {}, 0, None, "no time")
    >>> print(describe_choice({"chosen": "patchcore", "candidates": [row.as_dict()]}))
    candidate  rounds  image AUROC  PRO  found  ms/image
    patchcore                                             no time
    """
    lines = [("candidate", "rounds", "image AUROC", "PRO", "found", "ms/image", "")]
    for row in choice["candidates"]:
        if row["image_AUROC"] is None:
            lines.append((row["label"], "", "", "", "", "", row["told"]))
            continue
        lines.append(
            (
                row["label"],
                str(row["rounds"]),
                f"{row['image_AUROC']:.3f}",
                f"{row['pixel_PRO']:.3f}",
                f"{row['hits']:.0%}",
                f"{row['milliseconds']:.0f}",
                row["told"],
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(6)]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(t.rjust(w) for t, w in zip(line[1:6], widths[1:], strict=True)),
                line[6],
            ]
        ).rstrip()
        for line in lines
    )
