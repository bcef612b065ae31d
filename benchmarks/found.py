"""Defects found, and false alarms, at the threshold that good images gave, of benchmarks' results.

    python -c "from anomalist.data import make_sample_set; make_sample_set('sample')"
    anomalist benchmark data/mvtec_ad sample --detectors patchcore --seeds 0,1,2 --out before
    python benchmarks/found.py before after ...

A table of each folder of results: what share of the defective test images passes the threshold for
the alpha of the run, how many good ones do, and the metrics beside it, as means over the seeds. The
last line says how many times as many defects each folder finds as the first one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from anomalist.report import to_markdown

METRICS = ["image_AUROC", "pixel_AUROC", "pixel_PRO"]


def found(out: Path) -> pd.DataFrame:
    """One row a detector and category: means over the seeds."""
    scores = pd.read_csv(out / "scores.csv")
    scores["above"] = scores.decision == "anomalous"
    keys = ["detector", "category"]
    results = pd.read_csv(out / "results.csv")
    results["ms"] = 1000 / results.images_per_second
    rows = results.groupby(keys, sort=False)[[*METRICS, "ms"]].mean()
    for name, label in (("hits", 1), ("false_alarms", 0)):
        rows[name] = scores[scores.label == label].groupby(keys).above.mean()
    defects = scores[scores.label == 1].groupby([*keys, "seed"]).size()
    rows["defects"] = defects.groupby(keys).first()
    return rows.reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="+", type=Path)
    total: dict[str, float] = {}
    for out in parser.parse_args().out:
        rows = found(out)
        total[str(out)] = float((rows.hits * rows.defects).sum())
        print(f"\n{out}\n")
        table = [
            [
                row.detector,
                row.category,
                f"{row.hits * row.defects:.1f} of {row.defects}",
                f"{row.false_alarms:.3f}",
                *(f"{row[name]:.4f}" for name in METRICS),
                f"{row.ms:.0f}",
            ]
            for _, row in rows.iterrows()
        ]
        header = ["detector", "category", "found", "false alarms", *METRICS, "ms an image"]
        print(to_markdown(pd.DataFrame(table, columns=header)))
    first = next(iter(total.values()))
    print("\nfound: " + ", ".join(f"{out} {n / first:.2f} times" for out, n in total.items()))


if __name__ == "__main__":
    main()
