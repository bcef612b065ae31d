"""Plans of detectors x categories x seeds, run resumably, with a record of every run."""

from anomalist.benchmark.configuration import config_hash
from anomalist.benchmark.executor import Executor, LocalExecutor
from anomalist.benchmark.inventory import Inventory
from anomalist.benchmark.published import Published, published
from anomalist.benchmark.records import RunRecord, results_frame
from anomalist.benchmark.runner import benchmark, write_results
from anomalist.benchmark.store import ResultStore, RunStore
from anomalist.benchmark.submission import Submission, submit
from anomalist.benchmark.tasks import Asked, Task, plan
from anomalist.benchmark.watching import Watcher

__all__ = [
    "Asked",
    "Executor",
    "Inventory",
    "LocalExecutor",
    "Published",
    "ResultStore",
    "RunRecord",
    "RunStore",
    "Submission",
    "Task",
    "Watcher",
    "benchmark",
    "config_hash",
    "plan",
    "published",
    "results_frame",
    "submit",
    "write_results",
]
