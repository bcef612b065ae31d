"""Plans of detectors x categories x seeds, run resumably, with a record of every run."""

from anomalist.benchmark.published import Published, published
from anomalist.benchmark.records import RunRecord, RunStore, config_hash, results_frame
from anomalist.benchmark.runner import Run, Watcher, benchmark, plan, write_results

__all__ = [
    "Published",
    "Run",
    "RunRecord",
    "RunStore",
    "Watcher",
    "benchmark",
    "config_hash",
    "plan",
    "published",
    "results_frame",
    "write_results",
]
