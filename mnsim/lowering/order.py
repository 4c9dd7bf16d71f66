"""The issue order: commands one after another, or with loads hoisted; and of all waits those that are not
implied by others.
"""

from collections.abc import Sequence
from typing import assert_never

from mnsim.lowering.work import Draft
from mnsim.program.model import Command, Load, Matrix, Store, Vector
from mnsim.spec.records import Policy

ENGINE = {"load": 0, "store": 0, "matrix": 1, "vector": 2}  # loads and stores share the bus
Clock = tuple[int, int, int]  # by engine the last command (by place in the list) known to have ended; -1 for none
NOTHING_ENDED: Clock = (-1, -1, -1)


def arrange(drafts: Sequence[Draft], policy: Policy) -> tuple[Command, ...]:
    """The drafts as commands in issue order, waiting for as few others as say the same.

    Every command stands behind all that it waits for, so in-order queues cannot block each other for ever:
    of all commands that have not ended, the first in the list finds everything that it waits for ended,
    and nothing of its own queue before it.
    """
    order = list(range(len(drafts))) if policy == "serial" else _hoist(drafts)
    place = [0] * len(drafts)
    for position, number in enumerate(order):
        place[number] = position
    engines = [ENGINE[drafts[number].job.kind] for number in order]
    commands: list[Command] = []
    ended: list[Clock] = []  # by command what has ended when it has
    last = [-1, -1, -1]
    for position, number in enumerate(order):
        draft, engine = drafts[number], engines[position]
        data = {place[other] for other in draft.data}
        if policy == "serial" and position:
            data.add(position - 1)
        clock = list(ended[last[engine]] if last[engine] >= 0 else NOTHING_ENDED)
        kept = []
        for other in sorted(data.union([place[other] for other in draft.room]), reverse=True):
            if clock[engines[other]] < other:
                kept.append(other)
                clock = list(map(max, clock, ended[other]))
        clock[engine] = last[engine] = position
        ended.append((clock[0], clock[1], clock[2]))
        waits = tuple(kept[::-1])
        commands.append(_command(position, draft, waits, tuple([other for other in waits if other not in data])))
    return tuple(commands)


def _hoist(drafts: Sequence[Draft]) -> list[int]:
    """Every load directly behind the last command that it waits for, or behind the load before it if that
    stands later.
    """
    behind: dict[int, list[int]] = {}
    anchor = -1
    for number, draft in enumerate(drafts):
        if draft.job.kind == "load":
            anchor = max([anchor, *(other for other in (*draft.data, *draft.room) if drafts[other].job.kind != "load")])
            behind.setdefault(anchor, []).append(number)
    order = list(behind.get(-1, ()))
    for number, draft in enumerate(drafts):
        if draft.job.kind != "load":
            order += [number, *behind.get(number, ())]
    return order


def _command(position: int, draft: Draft, waits: tuple[int, ...], room: tuple[int, ...]) -> Command:
    job, reads, writes = draft.job, draft.reads, draft.writes
    match job.kind:
        case "load":
            return Load(position, job.layer, reads, writes, waits, room)
        case "store":
            return Store(position, job.layer, reads, writes, waits, room)
        case "matrix":
            assert job.kernel is not None
            return Matrix(position, job.layer, reads, writes, job.kernel, job.amount, waits, room)
        case "vector":
            assert job.kernel is not None
            return Vector(position, job.layer, reads, writes, job.kernel, job.amount, waits, room)
        case _:
            assert_never(job.kind)
