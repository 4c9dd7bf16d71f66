"""How low each block can still lie, after some decisions of the search for addresses.

Two blocks meet when both are alive at some step. The search looks for the lowest placement: the one whose
addresses have the least sum. In it no block could be moved down by itself, so that each lies at address 0 or
on one that it meets. Of equal blocks (one size, one lifetime) the first can be taken to lie lowest.
"""

from collections.abc import Sequence
from operator import itemgetter

from mnsim.plan.packing import Block

PLACED = -1  # instead of a least address


class Bounds:
    """What is known of every block (`rest` and `least`, in bytes); `undo` takes changes back.

    `rest` is where a block comes to lie on the placed blocks that it meets; of a placed block, its address.
    `least` is the lowest address that it can have. Where that is above `rest`, it lies on a block not placed
    yet.
    """

    def __init__(self, blocks: Sequence[Block], capacity: int) -> None:
        nothing = len(blocks)  # a number for a block that is not there
        self.sizes = [block.size_bytes for block in blocks]
        self.rest = [0] * len(blocks)
        self.least = [*self.rest, PLACED]
        self._capacity = capacity
        self._nowhere = 2 * capacity + 1  # too high to lie on
        self._end = [*self.sizes, self._nowhere]  # least address plus size; of a placed block, nowhere
        self._lives = [range(block.first, block.last + 1) for block in blocks]
        self._life_bits = [(1 << block.last + 1) - (1 << block.first) for block in blocks]
        self._alive = _alive(blocks)
        self._load = [sum(self.sizes[index] for index in alive) for alive in self._alive]  # of what is not placed
        self._meets = [self._met_by(index) for index in range(len(blocks))]
        self._below = [met[0] if met else nothing for met in self._meets]  # one of the lowest that each may lie on
        # `nothing` twice, for of one index alone itemgetter makes no tuple
        self._of_met = [itemgetter(*met, nothing, nothing) for met in self._meets]
        self._of_alive = [itemgetter(*alive, nothing, nothing) for alive in self._alive]
        kinds: dict[Block, list[int]] = {}
        for index, block in enumerate(blocks):
            kinds.setdefault(block, []).append(index)
        self._equals = [kinds[block] for block in blocks]
        self._changes: list[tuple[int, int, int]] = []  # a block, and its rest and least before

    def _met_by(self, index: int) -> tuple[int, ...]:
        met = set().union(*(self._alive[step] for step in self._lives[index]))
        met.remove(index)
        return tuple(sorted(met))

    def mark(self) -> int:
        """A name for the present state, for `undo`."""
        return len(self._changes)

    def undo(self, mark: int) -> None:
        """Take back all changes since the mark."""
        while len(self._changes) > mark:
            block, rest, least = self._changes.pop()
            if self.least[block] == PLACED:
                for step in self._lives[block]:
                    self._load[step] += self.sizes[block]
            self.rest[block], self.least[block], self._end[block] = rest, least, least + self.sizes[block]

    def start(self) -> bool:
        """Conclude what holds before any decision; False when there is no placement."""
        return self._conclude(range(len(self.sizes)), (1 << len(self._alive)) - 1)

    def place(self, block: int, part: Sequence[int]) -> bool:
        """Let the block lie at its `rest`; False when the rest of the part can then not be placed."""
        rest, least, changes = self.rest, self.least, self._changes
        changes.append((block, rest[block], least[block]))
        top = rest[block] + self.sizes[block]
        least[block], self._end[block] = PLACED, self._nowhere
        for step in self._lives[block]:
            self._load[step] -= self.sizes[block]
        touched = self._life_bits[block]
        for other in self._meets[block]:
            if least[other] != PLACED and rest[other] < top:
                changes.append((other, rest[other], least[other]))
                rest[other] = top
                if least[other] < top:
                    least[other], self._end[other] = top, top + self.sizes[other]
                    touched |= self._life_bits[other]
        return self._conclude(part, touched)

    def exclude(self, block: int, part: Sequence[int]) -> bool:
        """Let the block not lie at its `rest`; False when the part can then not be placed.

        The search decides of the first of equal blocks first, and the others lie higher: neither do they lie
        there.
        """
        touched = 0
        for equal in self._equals[block]:
            if self.least[equal] != PLACED:
                if not self._lift(equal):
                    return False
                touched |= self._life_bits[equal]
        return self._conclude(part, touched)

    def _raise(self, block: int, least: int) -> None:
        self._changes.append((block, self.rest[block], self.least[block]))
        self.least[block], self._end[block] = least, least + self.sizes[block]

    def _lift(self, block: int) -> bool:
        """Raise a block that does not lie at its `rest`; False when the memory is too small for that.

        No placed block that it meets ends above its `rest`. So it lies on one that is not placed, and no
        lower than the lowest end that such a one can have.
        """
        ends = self._of_met[block](self._end)
        lowest = min(ends)
        if lowest + self.sizes[block] > self._capacity:
            return False
        self._below[block] = self._meets[block][ends.index(lowest)]
        if lowest > self.least[block]:
            self._raise(block, lowest)
        return True

    def _conclude(self, part: Sequence[int], touched: int) -> bool:
        """Raise least addresses until no rule raises one; False when the memory is too small for the part.

        `touched` are the steps (as bits) at which a block was placed or raised. A block in the air is raised
        again only when the one below it has been, as with the watched literals of SAT solvers.
        """
        rest, least, end, below = self.rest, self.least, self._end, self._below
        while touched:
            while touched:
                bit = touched & -touched
                touched ^= bit
                raised = self._look_at(bit.bit_length() - 1)
                if raised is None:
                    return False
                touched |= raised
            for block in part:
                before = least[block]
                if before > rest[block] and end[below[block]] > before:
                    if not self._lift(block):
                        return False
                    if least[block] > before:
                        touched |= self._life_bits[block]
        return True

    def _look_at(self, step: int) -> int | None:
        """The steps (as bits) at which a step's load raises blocks; None when the memory is too small for it.

        Blocks at one step are jobs of one machine: bytes are time, least addresses release dates. Hence two
        rules (Carlier, "The one-machine sequencing problem", 1982; Baptiste, Le Pape, Nuijten,
        "Constraint-based scheduling", 2001, "not first"):

        - The blocks that lie at an address or above it, all of them, end no lower than it plus their sizes.
        - With a block lowest of all, the load ends at its address plus the load. Where that is above the
          capacity, it is not the lowest, and lies above the lowest end of another one.

        Both can only say something of blocks that are too high to be the lowest, so all others are left out.
        """
        least, end = self.least, self._end
        room = self._capacity - self._load[step]
        if max(self._of_alive[step](least)) <= room:
            return 0
        high = sorted([block for block in self._alive[step] if least[block] > room], key=least.__getitem__, reverse=True)
        above = 0
        for block in high:
            above += self.sizes[block]
            if least[block] + above > self._capacity:
                return None
        lowest = min(self._of_alive[step](end))
        raised = 0
        for block in high:
            bound = lowest if end[block] > lowest else min(end[other] for other in self._alive[step] if other != block)
            if bound > least[block]:
                self._raise(block, bound)
                raised |= self._life_bits[block]
        return raised


def _alive(blocks: Sequence[Block]) -> list[list[int]]:
    """The blocks that are alive at every step."""
    alive: list[list[int]] = [[] for _ in range(max(block.last for block in blocks) + 1)]
    for index, block in enumerate(blocks):
        for members in alive[block.first : block.last + 1]:
            members.append(index)
    return alive
