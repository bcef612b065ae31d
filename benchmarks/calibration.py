"""How often thresholds from good training images alarm on good test images, and what doubt gains.

    anomalist benchmark DATA --seeds 0,1,2 --out OUT
    python benchmarks/calibration.py OUT [OUT ...]

Reads the records of one or more results folders. For each detector, the share of good test images
above the threshold that was asked to alarm on a share alpha of them: pooled over categories, a mean
over seeds, with the Clopper-Pearson interval of one seed's pooled count. Then, for each category,
the share of wrong decisions at alpha 0.05 of all test images, of the surest half and of the surest
four fifths, and averaged over all coverages. Sure is far from the threshold or, for ensembles, also
small disagreement.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from anomalist.benchmark import RunRecord, RunStore
from anomalist.calibration import error_coverage, error_coverage_area, threshold
from anomalist.report import to_markdown

ALPHAS = (0.05, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="+", help="results folders")
    records = [r for out in parser.parse_args().out for r in RunStore(out).records()]
    print(to_markdown(false_alarms(records)))
    print(to_markdown(doubts(records)))


def false_alarms(records: list[RunRecord]) -> pd.DataFrame:
    """Alarms on good test images by detector, pooled over categories."""
    rows = []
    for name in dict.fromkeys(r.detector for r in records):
        row: dict[str, str] = {"detector": name}
        of_name = [r for r in records if r.detector == name]
        seeds = sorted({r.seed for r in of_name})
        for alpha in ALPHAS:
            counts = []
            for seed in seeds:
                alarms = images = 0
                for record in (r for r in of_name if r.seed == seed):
                    limit = threshold(record.calibration["scores"], alpha)
                    good = [i["score"] for i in record.images if i["label"] is False]
                    alarms += sum(score > limit for score in good)
                    images += len(good)
                counts.append((alarms, images))
            rates = [a / n for a, n in counts]
            interval = binomtest(*counts[0]).proportion_ci()
            spread = f" ± {np.std(rates, ddof=1):.3f}" if len(rates) > 1 else ""
            row[f"alpha {alpha}"] = f"{np.mean(rates):.3f}{spread}"
            row[f"{alpha}: first seed"] = (
                f"{counts[0][0]} of {counts[0][1]} ({interval.low:.3f} to {interval.high:.3f})"
            )
        rows.append(row)
    return pd.DataFrame(rows)


def doubts(records: list[RunRecord]) -> pd.DataFrame:
    """Error of the surest by detector and category, a mean over seeds."""
    rows = []
    for record in records:
        limit = threshold(record.calibration["scores"], 0.05)
        if not np.isfinite(limit):
            continue
        scores = np.array([image["score"] for image in record.images])
        wrong = (scores > limit) != np.array([image["label"] for image in record.images])
        kinds = {"far from the threshold": np.abs(scores - limit)}
        disagreement = [image["disagreement"] for image in record.images]
        if disagreement[0] is not None:
            kinds["far, and members agree"] = np.abs(scores - limit) / (1 + np.array(disagreement))
            kinds["members agree"] = -np.array(disagreement)
        for kind, sure in kinds.items():
            coverage, error = error_coverage(sure, wrong)
            rows.append(
                {
                    "category": record.category,
                    "detector": record.detector,
                    "sure is": kind,
                    "all": error[-1],
                    "surest 80 %": error[np.searchsorted(coverage, 0.8)],
                    "surest half": error[np.searchsorted(coverage, 0.5)],
                    "mean over coverages": error_coverage_area(sure, wrong),
                }
            )
    keys = ["category", "detector", "sure is"]
    means = pd.DataFrame(rows).groupby(keys, sort=False).mean().reset_index()
    return means.apply(lambda c: c if c.name in keys else c.map("{:.3f}".format))


if __name__ == "__main__":
    main()
