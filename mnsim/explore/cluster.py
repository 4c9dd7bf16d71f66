"""Batches run on a Dask cluster that exists already: this process sends them and gathers their outcomes."""

import json
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from mnsim.errors import Location, MnsimError, PointError, WorkError, shown
from mnsim.explore.evaluate import Batch, Outcome, evaluate
from mnsim.explore.version import model_version

CONNECT_S = 10.0
AHEAD = 3  # batches that each thread of each worker has waiting
LEAST_AHEAD = 16
LOOK_S = 2.0  # between two counts of the workers


def run_on_cluster(
    batches: Iterable[Batch], scheduler: str, tell: Callable[[str], None] = lambda words: None
) -> Generator[Outcome, None, None]:
    """Outcomes as they come, each batch's once, whichever workers die or join meanwhile.

    `scheduler` is an address (tcp://host:port) or `file:` and the name of a scheduler file. `tell` is called
    with a sentence while there is no worker. Raises WorkError W001 where the scheduler cannot be reached,
    W002 where a worker has another model, S404 without Dask.
    """
    distributed = _dask(scheduler)
    with _quiet_logs():
        client = _connect(distributed, scheduler, tell)
        try:
            if not client.scheduler_info()["workers"]:
                tell("no workers are there yet; waiting for the first")
                client.wait_for_workers(1)
            _check_versions(client, scheduler)
            yield from _gathered(distributed, client, batches)
        except MnsimError:
            raise
        except (OSError, RuntimeError, CancelledError) as error:
            if client.status == "running":
                raise
            message = f"the scheduler at {shown(scheduler, 100)} is gone"
            remedy = "start it again; with --store, the same command goes on from what has finished"
            raise WorkError("W001", message, _place(scheduler), remedy) from error
        finally:
            client.close()


def _dask(scheduler: str) -> Any:
    try:
        return import_module("distributed")
    except ImportError:
        message = "Dask is not installed"
        raise WorkError("S404", message, _place(scheduler), "pip install 'mnsim[dask]', here and where the workers run") from None


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Dask's own log lines stay away: errors here say what matters of them."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("distributed", "tornado")]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _connect(distributed: Any, scheduler: str, tell: Callable[[str], None]) -> Any:
    file = scheduler.removeprefix("file:") if scheduler.startswith("file:") else None
    address = scheduler if file is None else _address_in(file, scheduler, tell)
    try:
        return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError, AssertionError) as error:  # a timeout is an OSError, or Dask's loop not started
        remedy = "start one with `dask scheduler`, and give the address that it prints"
        message = f"no Dask scheduler can be reached at {shown(address, 100)}"
        raise WorkError("W001", message, _place(scheduler), remedy) from error


def _address_in(file: str, scheduler: str, tell: Callable[[str], None]) -> str:
    """The address in a scheduler file, as `dask scheduler --scheduler-file` writes it once it has started."""
    path, end = Path(file), monotonic() + CONNECT_S
    if not path.exists():
        tell(f"waiting for {file}")
    while not path.exists() and monotonic() < end:
        sleep(0.05)
    remedy = "start one with `dask scheduler --scheduler-file FILE`"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["address"])
    except OSError as error:
        message = f"cannot read {shown(file, 100)}: {error.strerror or error}"
    except (ValueError, KeyError, TypeError):
        message = f"{shown(file, 100)} is no scheduler file"
    raise WorkError("W001", message, _place(scheduler), remedy)


def _place(scheduler: str) -> Location:
    return Location("--scheduler", 1, 13, f"--scheduler {scheduler}", max(1, len(scheduler)))


def _check_versions(client: Any, scheduler: str) -> None:
    """Every worker must have this model. One that joins later is checked by its first batch."""
    found = client.run(_version_there, on_error="return")
    for worker, version in found.items():
        if version != model_version():
            said = version if isinstance(version, str) else f"no mnsim that answers ({version})"
            message = f"worker {worker} has {said}, and here is {model_version()}"
            raise WorkError("W002", message, _place(scheduler), "install the same mnsim everywhere, and start the workers again")


def _version_there() -> str:
    return model_version()


def _gathered(distributed: Any, client: Any, batches: Iterable[Batch]) -> Generator[Outcome, None, None]:
    """The outcomes, with a window of batches under way that grows with the cluster."""
    waiting = iter(batches)
    running: dict[str, tuple[Any, Batch]] = {}  # by key of the future, until its outcome is there
    completed = distributed.as_completed(loop=client.loop)
    window, looked_s = _window(client), monotonic()
    while True:
        while len(running) < window and (batch := next(waiting, None)) is not None:
            future = client.submit(evaluate, batch, pure=False)
            running[future.key] = future, batch
            completed.add(future)
        if not running:
            return
        future = next(completed)
        _, batch = running[future.key]
        yield _outcome(client, future, batch)
        del running[future.key]
        if monotonic() - looked_s > LOOK_S:
            window, looked_s = _window(client), monotonic()


def _outcome(client: Any, future: Any, batch: Batch) -> Outcome:
    """A batch's outcome. Raises WorkError where the worker refused it; failures of the cluster become the
    batch's error.
    """
    try:
        outcome = future.result()
        assert isinstance(outcome, Outcome)
        return outcome
    except MnsimError:
        raise
    except (Exception, CancelledError) as error:  # a worker that was killed again and again, or any fault of the cluster
        if client.status != "running":
            raise
        return Outcome(batch.number, (), {}, {}, PointError(f"{type(error).__name__}: {error}"))


def _window(client: Any) -> int:
    return max(LEAST_AHEAD, AHEAD * int(sum(client.nthreads().values())))
