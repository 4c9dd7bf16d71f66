"""An exact search for addresses, for blocks that no heuristic places.

It decides of one block after another whether it lies on those placed so far, from the lowest address up.
`Bounds` draws conclusions from each decision. Blocks that no longer meet are placed apart.

MiniMalloc is the model (Moffitt, ASPLOS 2023): ascending addresses, its dominance rule, its check of every
step's load, several orders of the blocks in turn. New here: a block that does not lie where it could must lie
on another block (`Bounds.exclude`), the rules of `Bounds._look_at`, and a memory of parts that were given up.

Limits are counts of nodes, and nothing depends on a clock: equal blocks get equal addresses on any machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mnsim.plan.packing import Block, apart, squeeze
from mnsim.plan.placement_bounds import Bounds

NODE_BLOCKS = 32  # a node with more blocks counts as several, for it takes longer
REMEMBERED_BLOCKS = 100  # larger parts hardly ever come back

Part = tuple[int, ...]  # blocks whose lifetimes hang together, in the order of birth
State = tuple[Part, tuple[int, ...]]


class Search:
    """The search: one `OrderedSearch` for each order of the blocks, which take turns.

    So what one order places with N nodes takes N nodes and one turn of each order, whatever the limit is. A
    turn has twice the nodes of a search that never takes a decision back.

    `addresses` (bytes) are those of all blocks once they are found. `ended` tells that they are, or that
    there is no placement. `nodes` counts the decisions so far; one about a part of many blocks counts as
    several.
    """

    def __init__(self, blocks: Sequence[Block], capacity: int) -> None:
        self.nodes = 0
        self.addresses: tuple[int, ...] | None = None
        self.ended = False
        self._blocks = squeeze(blocks)
        self._capacity = capacity
        self._orders = list(_orders(blocks, self._blocks))
        self._searches: list[OrderedSearch] = []
        self._turn = 2 * sum(1 + left // NODE_BLOCKS for left in range(1, len(blocks) + 1))
        self._turns = 0

    def run(self, limit: int) -> None:
        """Go on where the last run stopped, until the search ends or has taken `limit` nodes in all."""
        while not self.ended and self.nodes < limit:
            number = self._turns % len(self._orders)
            if number == len(self._searches):
                self._searches.append(OrderedSearch([self._blocks[index] for index in self._orders[number]], self._capacity))
            current = self._searches[number]
            before = current.nodes
            turn_end = (self._turns // len(self._orders) + 1) * self._turn
            allowed = before + limit - self.nodes
            current.run(min(turn_end, allowed))
            self.nodes += current.nodes - before
            self.ended = current.ended
            if current.addresses is not None:
                self.addresses = tuple(address for _, address in sorted(zip(self._orders[number], current.addresses, strict=True)))
            if allowed < turn_end:
                return
            self._turns += 1


def _orders(blocks: Sequence[Block], squeezed: Sequence[Block]) -> Iterator[list[int]]:
    """The blocks in the orders that take turns, each of which is the quick one for some blocks.

    They rank by the largest load at a block's steps, its squeezed steps, its bytes times all its steps, and
    its bytes (T, C, A and Z in MiniMalloc, section 5). Those by birth and by death do with time what they do
    with time reversed: what is hard one way is often easy the other.
    """
    loads = [0] * (max(block.last for block in squeezed) + 1)
    for block in squeezed:
        for step in range(block.first, block.last + 1):
            loads[step] += block.size_bytes
    load = [-max(loads[block.first : block.last + 1]) for block in squeezed]
    steps = [block.first - block.last for block in squeezed]
    area = [-block.size_bytes * (block.last + 1 - block.first) for block in blocks]
    size = [-block.size_bytes for block in blocks]
    birth, death = [block.first for block in squeezed], [-block.last for block in squeezed]
    late_birth = [-first for first in birth]
    for keys in ((load, steps, area), (death, steps, area), (death, late_birth, steps), (birth, steps, area), (load, size, steps)):
        yield sorted(range(len(blocks)), key=list(zip(*keys, strict=True)).__getitem__)


@dataclass(slots=True)
class _Decision:
    """A part that is to be placed.

    `possible` tells that something is left to decide. `block` was placed at its `rest`, where the bounds were
    at `mark` before, and `left` are the parts that are still to be placed then (None: no block is placed).
    """

    part: Part
    state: State | None
    possible: bool = True
    block: int = -1
    mark: int = 0
    left: list[Part] | None = None


class OrderedSearch:
    """The search with the blocks in one order: of those that can lie lowest, the first is decided of.

    `addresses`, `ended` and `nodes` are as in `Search`. The decisions are a stack of its own, because there
    may be thousands, and so that a search can be stopped and go on.
    """

    def __init__(self, blocks: Sequence[Block], capacity: int) -> None:
        self.nodes = 0
        self.addresses: tuple[int, ...] | None = None
        self.ended = False
        self._blocks = blocks
        self._bounds = Bounds(blocks, capacity)
        self._given_up: set[State] = set()
        births = sorted(range(len(blocks)), key=lambda index: blocks[index].first)
        self._decisions = [_Decision(tuple(births), None, self._bounds.start())]

    def run(self, limit: int) -> None:
        """Go on where the last run stopped, until the search ends or has taken `limit` nodes in all."""
        while self._decisions:
            decision = self._decisions[-1]
            if decision.left:
                self._enter(decision.left.pop())
            elif decision.left is not None:
                self._decisions.pop()  # all parts are placed
                if not self._decisions:
                    self.addresses = tuple(self._bounds.rest)
            elif (block := self._lowest(decision)) is None:
                self._give_up()
            else:
                nodes = 1 + len(decision.part) // NODE_BLOCKS
                if self.nodes + nodes > limit:
                    return
                self.nodes += nodes
                self._place(decision, block)
        self.ended = True

    def _enter(self, part: Part) -> None:
        """Let a part be placed next, unless it is known that it cannot be."""
        state = self._state(part)
        if state in self._given_up:
            self._take_back(self._decisions[-1])
        else:
            self._decisions.append(_Decision(part, state))

    def _give_up(self) -> None:
        """Remember that the last part cannot be placed, and take back the decision that left it."""
        state = self._decisions.pop().state
        if state is not None:
            self._given_up.add(state)
        if self._decisions:
            self._take_back(self._decisions[-1])

    def _state(self, part: Part) -> State | None:
        """What decides whether a part can be placed; None for a large part.

        It is the blocks, where each comes to rest, and which of them do not lie there. Their least addresses
        are conclusions from these.
        """
        if len(part) > REMEMBERED_BLOCKS:
            return None
        rest, least = self._bounds.rest, self._bounds.least
        return part, tuple([rest[block] if least[block] == rest[block] else ~rest[block] for block in part])

    def _lowest(self, decision: _Decision) -> int | None:
        """The block to decide of; None when the part cannot be placed.

        The lowest block of a lowest placement lies at its `rest`, for it lies on no other block of the part.
        So it is one of those that may lie there, and no block of the part is below the lowest of these.

        It is not above where another one would end at its own `rest`. The other one could lie there then, for
        all of the part is above; that is lower than it does (the dominance rule of MiniMalloc).
        """
        if not decision.possible:
            return None
        rest, least, sizes = self._bounds.rest, self._bounds.least, self._bounds.sizes
        address, block = min([(rest[block], block) for block in decision.part if least[block] == rest[block]], default=(0, -1))
        if block < 0 or address >= min([rest[other] + sizes[other] for other in decision.part]):
            return None
        return block

    def _place(self, decision: _Decision, block: int) -> None:
        """Put a block at its `rest`, unless what is left can then not be placed."""
        decision.block, decision.mark = block, self._bounds.mark()
        if self._bounds.place(block, decision.part):
            others = (other for other in decision.part if other != block)
            parts = [tuple(members) for members in apart(self._blocks, others)]
            decision.left = sorted(parts, key=len, reverse=True)  # the smallest is next
        else:
            self._take_back(decision)

    def _take_back(self, decision: _Decision) -> None:
        """Decide that the block does not lie at its `rest`."""
        self._bounds.undo(decision.mark)
        decision.possible = self._bounds.exclude(decision.block, decision.part)
        decision.left = None
