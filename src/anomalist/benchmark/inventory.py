"""What a results folder holds: the records that belong together, and what is left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from anomalist.benchmark.records import RunRecord

_NAMED = 3


@dataclass(frozen=True)
class Inventory:
    """The records of a results folder, sorted into those that tables may show and the others.

    Tables, and means above all, are of one version of anomalist, of one state of each category's
    images and of one configuration of each name. Where records disagree, those that agree with the
    run that was finished last are shown.

    Parameters
    ----------
    records : list of RunRecord
        What tables show, by detector, category and seed.
    stale : list of (RunRecord, str)
        What they leave out, with the reason.
    unreadable : list of str
        A line on each file that is no record.
    """

    records: list[RunRecord]
    stale: list[tuple[RunRecord, str]]
    unreadable: list[str]

    @classmethod
    def of(cls, records: Iterable[RunRecord], unreadable: Iterable[str] = ()) -> Inventory:
        """Sort records."""
        data: dict[str, str] = {}
        settings: dict[str, str] = {}
        version = None
        shown, stale = [], []
        for record in sorted(records, key=lambda r: r.finished, reverse=True):
            category, name = record.category, record.detector
            version = version or record.version
            # The order counts: what is left out must not decide what else is.
            if record.version != version:
                stale.append((record, f"of version {record.version}, the last one of {version}"))
            elif data.setdefault(category, record.data_hash) != record.data_hash:
                stale.append((record, f"of other images of {category} than the last one"))
            elif settings.setdefault(name, record.config_hash) != record.config_hash:
                stale.append((record, f"of other settings than the last one called {name}"))
            else:
                shown.append(record)
        stale.sort(key=lambda pair: _place(pair[0]))
        return cls(sorted(shown, key=_place), stale, sorted(unreadable))

    @property
    def everything(self) -> list[RunRecord]:
        """All records, those that are left out too."""
        return self.records + [record for record, _ in self.stale]

    @property
    def left_out(self) -> list[str]:
        """A line on all records that are left out for the same reason."""
        by_reason: dict[str, list[str]] = {}
        for record, reason in self.stale:
            run = f"{record.detector} {record.category} seed {record.seed}"
            by_reason.setdefault(reason, []).append(run)
        return [
            f"{len(runs)} run{'s are' if len(runs) > 1 else ' is'} left out of the tables,"
            f" {reason}: {_listed(runs)}; run {'them' if len(runs) > 1 else 'it'} again, or take"
            " another results folder"
            for reason, runs in by_reason.items()
        ]

    @property
    def notices(self) -> list[str]:
        """All that a person should know, in lines."""
        return self.unreadable + self.left_out


def _place(record: RunRecord) -> tuple[str, str, int]:
    return record.detector, record.category, record.seed


def _listed(runs: list[str]) -> str:
    more = [f"{len(runs) - _NAMED} more"] if len(runs) > _NAMED else []
    return ", ".join([*runs[:_NAMED], *more])
