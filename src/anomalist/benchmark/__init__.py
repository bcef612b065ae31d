"""Plans of detectors x categories x seeds, run resumably, with a record of every run."""

from anomalist.benchmark.configuration import config_hash
from anomalist.benchmark.executor import Executor, LocalExecutor
from anomalist.benchmark.inventory import Inventory
from anomalist.benchmark.object_store import ObjectResultStore
from anomalist.benchmark.published import Published, published
from anomalist.benchmark.ray_executor import RayExecutor
from anomalist.benchmark.records import RunRecord, results_frame
from anomalist.benchmark.repeats import tell_repeats
from anomalist.benchmark.runner import benchmark, open_results, write_results
from anomalist.benchmark.store import ResultStore, RunStore
from anomalist.benchmark.stress_cases import CONDITIONS
from anomalist.benchmark.stress_runner import StressWatcher, stress
from anomalist.benchmark.stress_store import StressRun, stress_frame, stress_runs
from anomalist.benchmark.submission import Submission, submit
from anomalist.benchmark.tasks import Asked, Task, plan
from anomalist.benchmark.watching import Watcher

__all__ = [
    "CONDITIONS",
    "Asked",
    "Executor",
    "Inventory",
    "LocalExecutor",
    "ObjectResultStore",
    "Published",
    "RayExecutor",
    "ResultStore",
    "RunRecord",
    "RunStore",
    "StressRun",
    "StressWatcher",
    "Submission",
    "Task",
    "Watcher",
    "benchmark",
    "config_hash",
    "open_results",
    "plan",
    "published",
    "results_frame",
    "stress",
    "stress_frame",
    "stress_runs",
    "submit",
    "tell_repeats",
    "write_results",
]
