"""Addresses: storages over their lifetimes, and each segment's working space in the gaps that they leave."""

from collections.abc import Iterable, Sequence

from mnsim.graph.model import Storage

Gap = tuple[int, int]  # start, size


def alive_by_step(storages: Iterable[Storage], steps: int) -> list[list[Storage]]:
    """For every step (operator) the storages that are in use while it runs."""
    alive: list[list[Storage]] = [[] for _ in range(steps)]
    for storage in storages:
        for step in range(storage.first, storage.last + 1):
            alive[step].append(storage)
    return alive


def place_storages(storages: Sequence[Storage], steps: int, capacity: int) -> dict[int, int] | int:
    """An address for every storage, no two that live at once overlapping; or the index of one that found no room.

    First fit, largest first; when that fails, in the order of birth.
    """
    failed = -1
    for order in (_largest_first, _birth_order):
        addresses: dict[int, int] = {}
        placed: list[list[tuple[int, int]]] = [[] for _ in range(steps)]
        for storage in sorted(storages, key=order):
            life = range(storage.first, storage.last + 1)
            address = _first_fit(storage.size_bytes, free_gaps({interval for step in life for interval in placed[step]}, capacity))
            if address is None:
                failed = storage.index if failed < 0 else failed
                break
            addresses[storage.index] = address
            for step in life:
                placed[step].append((address, storage.size_bytes))
        else:
            return addresses
    return failed


def _largest_first(storage: Storage) -> tuple[int, int]:
    return -storage.size_bytes, storage.index


def _birth_order(storage: Storage) -> tuple[int, int]:
    return storage.first, storage.index


def free_gaps(occupied: Iterable[tuple[int, int]], capacity: int) -> tuple[Gap, ...]:
    """The free intervals between occupied ones (start, size), in order of address."""
    gaps: list[Gap] = []
    cursor = 0
    for start, size in sorted(occupied):
        if start > cursor:
            gaps.append((cursor, start - cursor))
        cursor = max(cursor, start + size)
    if cursor < capacity:
        gaps.append((cursor, capacity - cursor))
    return tuple(gaps)


def _first_fit(size: int, gaps: Iterable[Gap]) -> int | None:
    return next((start for start, room in gaps if room >= size), None)


def fit_buffers(sizes: Sequence[int], gaps: Sequence[Gap]) -> tuple[int, ...] | None:
    """An address for every buffer of one segment, first fit, largest first; None when they do not fit."""
    room = list(gaps)
    addresses = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        for place, (start, size) in enumerate(room):
            if size >= sizes[index]:
                addresses[index] = start
                room[place] = (start + sizes[index], size - sizes[index])
                break
        else:
            return None
    return tuple(addresses)
