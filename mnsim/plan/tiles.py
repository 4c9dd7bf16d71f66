"""How one operator is cut, given the room that it has: the search for the tiling that moves the fewest
bytes.

Then, for policy `overlap`, the one among equals that leaves the most SRAM free for prefetch without too
many transfers.
"""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from mnsim.plan.model import STAYS, Geometry, Stays, Tiling
from mnsim.plan.tiling import Traffic, tile_counts, tile_traffic, working_bytes

PIPELINE_TILES = 8  # tiles in which the engines overlap well: about an eighth of a layer is filling and draining
LEAST_TILE = 4096  # output elements below which a tile is not worth its commands
MOST_TILES = 64  # into which a layer is cut for the sake of overlap alone
FINE, COARSE = 64, 8  # numbers of pieces that are all tried; beyond them only doublings
MOST_PORTION = 65_536  # bytes: larger pieces only make the first and the last transfer of a run longer
CHARGE = 128  # bytes that a command counts as (assumption: its descriptor and its completion, 64 bytes each)
MANY = 256  # commands of an operator that are not too many
SHARES = 16  # a layer's working space should be at most this part of the SRAM


def working_size(geometry: Geometry, tiling: Tiling) -> int:
    """Bytes of SRAM that a tiling works in."""
    return sum(size for _, size in working_bytes(geometry, tiling))


def smallest_bytes(geometry: Geometry) -> int:
    """The working space of the smallest tiling: one row, one output channel, one input channel at a time."""
    ins = {geometry.group_in, 1 if geometry.filter_bytes else geometry.group_in}
    block = _block(geometry, 0)
    candidates = [Tiling(1, block, channels, stays) for channels in ins for stays in STAYS]
    return min(working_size(geometry, tiling) for tiling in candidates if is_legal(geometry, tiling))


def best_tiling(geometry: Geometry, room: int, charge: int = CHARGE) -> Tiling | None:
    """The tiling that moves the fewest bytes in so much room, those that a command counts as (`charge`) with
    them; of equals the one of fewer commands, then of larger tiles.

    None when nothing fits. Sums over input channels are split only where that moves fewer bytes, or
    nothing else fits.
    """
    if rows := _tallest(geometry, room):
        return Tiling(rows, geometry.out_channels, geometry.group_in, "weights")  # everything crosses once: nothing moves less
    found = [(_rank(geometry, tiling, charge), tiling) for tiling in _fitting(geometry, room, geometry.group_in, FINE)]
    best = min(found, default=None, key=_ranked)
    if geometry.filter_bytes and (best is None or _is_dear(geometry, best[0], charge)):
        for in_channels in _pieces(geometry.group_in, COARSE)[1:]:
            found += [(_rank(geometry, tiling, charge), tiling) for tiling in _fitting(geometry, room, in_channels, COARSE)]
        best = min(found, default=None, key=_ranked)
    if best is None:
        return None
    return min((best, *((_rank(geometry, tiling, charge), tiling) for tiling in _evened(geometry, best[1], room))), key=_ranked)[1]


class Rank(NamedTuple):
    """What tilings are ranked by: the bytes that one moves and those that its commands count as; its
    commands; and its tiles' outputs, negative.
    """

    charged_bytes: int
    commands: int
    outputs: int


def _ranked(found: tuple[Rank, Tiling]) -> Rank:
    return found[0]


def _is_dear(geometry: Geometry, rank: Rank, charge: int) -> bool:
    """Whether a split sum might do better: with fewer bytes, or far fewer commands."""
    return rank.charged_bytes - charge * rank.commands > least_bytes(geometry) or rank.commands > MANY


def _evened(geometry: Geometry, tiling: Tiling, room: int) -> Iterator[Tiling]:
    """As many blocks as the tiling has, of even size, with the strips and parts of a sum that then fit:
    fewer transfers.
    """
    if tiling.in_channels == geometry.group_in or tiling.out_channels > geometry.group_out:
        return
    block = ceil(geometry.group_out / ceil(geometry.group_out / tiling.out_channels))
    for rows in _pieces(geometry.rows_out, COARSE):
        for in_channels in _pieces(geometry.group_in, COARSE):
            even = Tiling(rows, block, in_channels, tiling.stays)
            if rows * in_channels > tiling.rows * tiling.in_channels and is_legal(geometry, even) and working_size(geometry, even) <= room:
                yield even


def least_bytes(geometry: Geometry) -> int:
    """What any tiling moves: weights, streamed inputs and a streamed output, once each."""
    moved = geometry.filter_bytes + geometry.bias_bytes
    moved += geometry.in_streams * geometry.rows_in * geometry.in_row_bytes * geometry.in_channels
    return moved + geometry.out_streams * geometry.rows_out * geometry.out_row_bytes * geometry.out_channels


def count_commands(geometry: Geometry, tiling: Tiling, traffic: Traffic) -> int:
    """Transfers, and one computation a step."""
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    return traffic.transfers + strips * out_blocks * in_blocks


def _rank(geometry: Geometry, tiling: Tiling, charge: int) -> Rank:
    traffic = tile_traffic(geometry, tiling)
    commands = count_commands(geometry, tiling, traffic)
    return Rank(traffic.total_bytes + charge * commands, commands, -tiling.rows * tiling.out_channels)


def _tallest(geometry: Geometry, room: int) -> int:
    """Rows of the tallest strips with which all output channels fit at once, 0 if none: whole maps, if the
    operator streams none.
    """

    def fits(rows: int) -> bool:
        return working_size(geometry, Tiling(rows, geometry.out_channels, geometry.group_in, "weights")) <= room

    if fits(geometry.rows_out):
        return geometry.rows_out
    low, high = 0, geometry.rows_out - 1 if geometry.in_streams or geometry.out_streams else 0
    while low < high:
        rows = (low + high + 1) // 2
        low, high = (rows, high) if fits(rows) else (low, rows - 1)
    return low


def is_legal(geometry: Geometry, tiling: Tiling) -> bool:
    """Whether a tile's transfers and sums are what commands can say.

    A split sum over several groups at once would not be one 2-D region. Where a batch norm's numbers wait
    in the buffer of biases for the end of a split sum, other blocks must not pass in between.
    """
    if tiling.in_channels >= geometry.group_in:
        return True
    if geometry.groups > 1 and (tiling.stays == "input" or tiling.out_channels > geometry.group_out):
        return False
    return not (geometry.late_numbers and tiling.stays == "input" and tiling.out_channels < geometry.out_channels)


def _block(geometry: Geometry, index: int) -> int:
    """The output blocks that a tile may have, by size: parts of a group, then multiples of whole groups;
    or only all channels.
    """
    if not geometry.splits_channels:
        return geometry.out_channels
    parts = geometry.group_out
    return index + 1 if index < parts else (index - parts + 2) * parts


def _block_count(geometry: Geometry) -> int:
    return geometry.group_out + geometry.groups - 1 if geometry.splits_channels else 1


def _block_of(geometry: Geometry, channels: int) -> int:
    """The largest block of at most so many channels."""
    if not geometry.splits_channels:
        return geometry.out_channels
    return channels if channels < geometry.group_out else channels // geometry.group_out * geometry.group_out


def _pieces(extent: int, fine: int) -> list[int]:
    """Sizes of equal pieces to try, largest first: up to `fine` pieces of any number, then twice as many
    each time, then single ones.
    """
    counts = [*range(1, min(fine, extent) + 1), *(fine << step for step in range(1, extent.bit_length())), extent]
    return sorted({ceil(extent / count) for count in counts}, reverse=True)


def _fitting(geometry: Geometry, room: int, in_channels: int, fine: int) -> Iterator[Tiling]:
    """For every height of strip and order of loops, the tiling with the largest output block that fits."""
    streams = geometry.in_streams or geometry.out_streams or in_channels < geometry.group_in
    heights = _pieces(geometry.rows_out, fine) if streams else [geometry.rows_out]
    for stays in STAYS if in_channels < geometry.group_in else STAYS[:2]:
        for rows in heights:
            found = _largest_block(geometry, rows, in_channels, stays, room)
            if found and is_legal(geometry, tiling := Tiling(rows, found, in_channels, stays)):
                yield tiling


def _largest_block(geometry: Geometry, rows: int, in_channels: int, stays: Stays, room: int) -> int:
    """By bisection, for the working space grows with the block; 0 where none fits."""
    is_split = in_channels < geometry.group_in
    low, high = 0, geometry.group_out if is_split and geometry.groups > 1 else _block_count(geometry)
    while low < high:
        middle = (low + high) // 2
        if working_size(geometry, Tiling(rows, _block(geometry, middle), in_channels, stays)) <= room:
            low = middle + 1
        else:
            high = middle
    return _block(geometry, low - 1) if low else 0


def pipelined_tiling(geometry: Geometry, tiling: Tiling, capacity: int) -> Tiling:
    """A tiling that moves the same bytes in smaller pieces, so that loads, computation and stores overlap.

    First its working space should be small, in portions of a sixteenth of the SRAM (at most 64 KiB), which
    leaves the rest for prefetch; then there should be eight tiles, if they have 4,096 outputs each; then
    the fewest transfers, then the smallest space. (assumption: rates are not asked, so that one plan
    serves them all.)
    """
    if tiling.in_channels < geometry.group_in or geometry.idle:
        return tiling
    outputs = geometry.rows_out * geometry.out_row_bytes * geometry.out_channels
    wanted = max(1, min(PIPELINE_TILES, outputs // LEAST_TILE))
    most = tile_traffic(geometry, tiling).total_bytes
    portion = min(capacity / SHARES, MOST_PORTION)
    strips, out_blocks, _ = tile_counts(geometry, tiling)
    many = max(MOST_TILES, 2 * strips * out_blocks)  # twice as many: each is worked on while the next is loaded

    def rank(candidate: Tiling) -> tuple[int, int, int, int]:
        strips, out_blocks, _ = tile_counts(geometry, candidate)
        space = working_size(geometry, candidate)
        return ceil(space / portion), max(0, wanted - strips * out_blocks), tile_traffic(geometry, candidate).transfers, space

    def is_worth_it(candidate: Tiling) -> bool:
        strips, out_blocks, _ = tile_counts(geometry, candidate)
        if strips * out_blocks > many or working_size(geometry, candidate) > capacity:
            return False
        return tile_traffic(geometry, candidate).total_bytes <= most

    return min((tiling, *filter(is_worth_it, _smaller(geometry, tiling, wanted))), key=rank)


def _smaller(geometry: Geometry, tiling: Tiling, wanted: int) -> Iterator[Tiling]:
    """Strips cut 1, 2, 3 ... times and blocks halved again and again."""
    heights = sorted({ceil(tiling.rows / count) for count in (*range(1, wanted + 1), 16, 32, 64)}, reverse=True)
    blocks: list[int] = []
    block = tiling.out_channels
    while block and (not blocks or block < blocks[-1]):
        blocks.append(block)
        block = _block_of(geometry, ceil(block / 2)) if block > 1 else 0
    for stays in STAYS[: 2 if geometry.in_streams else 1]:  # what does not stream need not stay
        for rows in heights:
            for channels in blocks[:12]:
                yield Tiling(rows, channels, tiling.in_channels, stays)
