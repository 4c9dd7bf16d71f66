"""Batches run on this machine: in this process, and in further ones when that takes long."""

import os
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from time import monotonic

from mnsim.errors import PointError
from mnsim.explore.evaluate import Batch, Outcome, evaluate

PATIENCE_S = 0.3  # about the start of a process: shorter sweeps need none
AHEAD = 3  # batches a process has waiting
MOST_JOBS = 61 if sys.platform == "win32" else 1024  # the processes that the system lets one wait for
TRIES = 3  # of a batch whose process dies


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_here(batches: Iterable[Batch], jobs: int) -> Generator[Outcome, None, None]:
    """Outcomes as they come, each batch's once: in this process for the first moments, then in `jobs`
    processes.
    """
    waiting = iter(batches)
    start = monotonic()
    for batch in waiting:
        yield evaluate(batch)
        if jobs > 1 and monotonic() - start > PATIENCE_S:
            break
    ahead = list(islice(waiting, 2))
    if len(ahead) < 2:
        yield from map(evaluate, ahead)
        return
    yield from _Pool(jobs).run(chain(ahead, waiting))


class _Pool:
    """Processes that work on batches.

    One that dies (killed, out of memory) breaks all of them: they are started anew. The batches that were
    under way are then tried one at a time, which shows the one to blame.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.deaths: dict[int, int] = {}  # by number of the batch
        self.suspects: deque[Batch] = deque()

    def run(self, batches: Iterator[Batch]) -> Generator[Outcome, None, None]:
        while True:
            pool = ProcessPoolExecutor(min(self.jobs, MOST_JOBS), get_context("spawn"), _begin)
            running: dict[Future[Outcome], Batch] = {}
            try:
                yield from self._work(pool, batches, running)
                return
            except BrokenProcessPool:
                yield from self._blame(running.values())
            finally:
                for process in tuple((pool._processes or {}).values()) if running else ():  # their results are not wanted
                    process.kill()
                pool.shutdown(cancel_futures=True)

    def _work(
        self, pool: ProcessPoolExecutor, todo: Iterator[Batch], running: dict[Future[Outcome], Batch]
    ) -> Generator[Outcome, None, None]:
        while True:
            most = 1 if self.suspects else AHEAD * self.jobs
            while len(running) < most:
                batch = self.suspects.popleft() if self.suspects else next(todo, None)
                if batch is None:
                    break
                try:
                    running[pool.submit(evaluate, batch)] = batch
                except BrokenProcessPool:
                    self.suspects.append(batch)
                    raise
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                outcome = future.result()
                del running[future]
                yield outcome

    def _blame(self, under_way: Iterable[Batch]) -> Generator[Outcome, None, None]:
        """The batches that were running, to be tried once more, or the error of one that has had all its
        tries.
        """
        for batch in under_way:
            self.deaths[batch.number] = self.deaths.get(batch.number, 0) + 1
            if self.deaths[batch.number] < TRIES:
                self.suspects.append(batch)
            else:
                error = PointError(f"the process that ran it died {TRIES} times: killed, or out of memory")
                yield Outcome(batch.number, (), {}, {}, error)


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def leave_with_parent(sentinel: int) -> None:
        connection.wait([sentinel])
        os._exit(1)

    Thread(target=leave_with_parent, args=(parent.sentinel,), daemon=True).start()
