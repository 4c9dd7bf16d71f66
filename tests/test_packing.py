"""Blocks placed by hand, at random, and cut from a full rectangle, against a search through all orders that shares no code."""

from collections.abc import Iterator, Sequence
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.errors import CapacityError
from mnsim.plan import packing
from mnsim.plan.packing import Block, place_blocks

EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32)

Instance = list[Block]
Box = tuple[int, int, int, int]  # first step, step after the last, lowest byte, byte after the highest


def blocks_of(*rows: tuple[int, int, int]) -> Instance:
    return [Block(*row) for row in rows]


# These fit into 12 bytes, but no heuristic here finds how.
HARD = blocks_of((1, 1, 3), (4, 1, 2), (2, 0, 0), (3, 0, 0), (6, 2, 3), (1, 0, 2), (5, 3, 3), (6, 0, 1))
HARD_BYTES = 12
# No placement of these fits into 7 bytes, their largest load; one fits into 8.
GAPPED = blocks_of((4, 0, 0), (3, 0, 1), (2, 2, 2), (1, 1, 2), (1, 2, 3), (3, 1, 3), (3, 3, 4), (4, 4, 4))
# Each fits its largest load, by a placement that a search misses when it cuts a little too much.
SUBTLE = [
    # of two that live alike, the larger need not be the lower one
    blocks_of(
        *((7, 2, 4), (3, 1, 1), (8, 1, 1), (1, 1, 3), (2, 2, 2), (1, 0, 2), (2, 1, 1)),
        *((1, 1, 1), (3, 2, 3), (2, 2, 3), (9, 4, 4), (3, 3, 3), (3, 0, 0), (12, 0, 0)),
    ),
    # a step that is left open can go on just one byte higher
    blocks_of((5, 0, 1), (3, 2, 5), (4, 1, 2), (8, 4, 4), (3, 0, 6), (4, 1, 4), (9, 5, 5), (7, 3, 3)),
    blocks_of((4, 5, 5), (8, 0, 4), (2, 4, 5), (3, 6, 6), (5, 0, 1), (1, 1, 6), (2, 0, 0)),
]


def steps_of(blocks: Sequence[Block]) -> list[str]:
    return [f"layer {step}" for step in range(max((block.last for block in blocks), default=-1) + 1)]


def meet(one: Block, other: Block) -> bool:
    return one.first <= other.last and other.first <= one.last


def load_of(blocks: Sequence[Block]) -> int:
    return max(sum(block.size_bytes for block in blocks if block.first <= step <= block.last) for step in range(len(steps_of(blocks))))


def assert_valid(blocks: Sequence[Block], addresses: Sequence[int], capacity: int) -> None:
    assert len(addresses) == len(blocks)
    for index, (block, address) in enumerate(zip(blocks, addresses, strict=True)):
        assert 0 <= address <= capacity - block.size_bytes
        assert block.size_bytes or address == 0
        for other, place in zip(blocks[:index], addresses[:index], strict=True):
            apart = address + block.size_bytes <= place or place + other.size_bytes <= address
            assert apart or not (meet(block, other) and block.size_bytes and other.size_bytes)


def assert_placed(blocks: Sequence[Block], capacity: int) -> None:
    assert_valid(blocks, place_blocks(blocks, capacity, steps_of(blocks)), capacity)


def failure(blocks: Sequence[Block], capacity: int, node_limit: int = 20_000) -> CapacityError:
    with pytest.raises(CapacityError) as caught:
        place_blocks(blocks, capacity, steps_of(blocks), node_limit)
    error = caught.value
    assert (error.memory, error.available_bytes) == ("internal memory", capacity)
    assert error.needed_bytes > capacity
    assert_placed(blocks, error.needed_bytes)
    return error


def least_bytes(blocks: Sequence[Block]) -> int:
    """The optimum: the least height over all orders in which each block is put on top of those before it that it meets.

    The order of the addresses of any placement is one of them. Orders whose addresses descend, or are no lower than the best so
    far, are cut short, and nothing is below the largest load.
    """
    lowest = load_of(blocks)
    best = sum(block.size_bytes for block in blocks)
    order: list[tuple[Block, int]] = []

    def extend(left: Sequence[Block], height: int) -> None:
        nonlocal best
        if not left:
            best = height
        for place, block in enumerate(left):
            address = max((start + other.size_bytes for other, start in order if meet(block, other)), default=0)
            top = max(height, address + block.size_bytes)
            if top < best > lowest and (not order or address >= order[-1][1]):
                order.append((block, address))
                extend([*left[:place], *left[place + 1 :]], top)
                order.pop()

    extend(blocks, 0)
    return best


def cut(random: Random, pieces: int, steps: int, size: int) -> Instance:
    """A rectangle of steps and bytes, cut up to pieces by straight cuts and pinwheels: they fit it without any waste."""
    boxes: list[Box] = [(0, steps, 0, size)]
    for _ in range(20 * pieces):
        at = random.randrange(len(boxes))
        parts = list(_halves(random, boxes[at]) if random.random() < 0.7 else _pinwheel(random, boxes[at]))
        if parts and len(boxes) + len(parts) - 1 <= pieces:
            boxes[at : at + 1] = parts
    random.shuffle(boxes)
    return [Block(high - low, first, end - 1) for first, end, low, high in boxes]


def _halves(random: Random, box: Box) -> Iterator[Box]:
    first, end, low, high = box
    if random.random() < 0.5 and end - first > 1:
        step = random.randrange(first + 1, end)
        yield from ((first, step, low, high), (step, end, low, high))
    elif high - low > 1:
        byte = random.randrange(low + 1, high)
        yield from ((first, end, low, byte), (first, end, byte, high))


def _pinwheel(random: Random, box: Box) -> Iterator[Box]:
    """Four boxes around a fifth, which no straight cut takes apart."""
    first, end, low, high = box
    if end - first < 3 or high - low < 3:
        return
    left, right = sorted(random.sample(range(first + 1, end), 2))
    bottom, top = sorted(random.sample(range(low + 1, high), 2))
    wheel = [(first, left, low, top), (left, end, low, bottom), (right, end, bottom, high), (first, right, top, high)]
    boxes = [*wheel, (left, right, bottom, top)]
    if random.random() < 0.5:  # it turns the other way
        boxes = [(first + end - after, first + end - before, below, above) for before, after, below, above in boxes]
    yield from boxes


def crowd(random: Random, most: int, size: int) -> Instance:
    """Steps that are all full: what dies at one makes room for random new blocks at the next. They need not fit."""
    blocks: Instance = []
    alive: list[tuple[int, int]] = []
    for step in range(random.randrange(3, 8)):
        random.shuffle(alive)
        dying = random.randrange(1, len(alive) + 1) if alive else 0
        blocks += [Block(bytes_, first, step - 1) for bytes_, first in alive[:dying]]
        alive = alive[dying:]
        room = size - sum(bytes_ for bytes_, _ in alive)
        while room and len(blocks) + len(alive) < most:
            alive.append((random.randint(1, room), step))
            room -= alive[-1][0]
    return [*blocks, *(Block(bytes_, first, 8) for bytes_, first in alive)]


def scattered(random: Random, most: int, size: int) -> Instance:
    births = [random.randrange(9) for _ in range(random.randint(1, most))]
    return [Block(random.randint(0, size), birth, random.randint(birth, 8)) for birth in births]


def small_instance(seed: int) -> Instance:
    """Up to 8 blocks: of one of the kinds above, a few equal to one another, or of sizes blown up and made uneven, for some slack."""
    random = Random(seed)
    kind = random.randrange(5)
    size = random.choice((4, 6, 8, 12, 40, 1000))
    if kind == 0:
        blocks = scattered(random, 8, size)
    elif kind == 1:
        blocks = cut(random, 8, random.randint(3, 9), size)
    elif kind == 2:
        blocks = crowd(random, 8, size)
    elif kind == 3:
        kinds = scattered(random, 3, size)
        blocks = [random.choice(kinds) for _ in range(random.randint(4, 8))]
    else:
        blocks = [Block(block.size_bytes * 9 + random.randrange(4), block.first, block.last) for block in GAPPED]
    return blocks


def stacked(blocks: Sequence[Block]) -> list[int]:
    """A heuristic that nearly always fails: every block on top of all others, so that all is left to the exact search."""
    return [sum(block.size_bytes for block in blocks[:index]) for index in range(len(blocks))]


@EXAMPLES
@given(SEEDS)
def test_what_can_be_placed_is_placed(seed: int) -> None:
    blocks = small_instance(seed)
    least = least_bytes(blocks)
    assert_placed(blocks, least)
    if least:
        assert failure(blocks, least - 1).needed_bytes >= least


@EXAMPLES
@given(SEEDS)
def test_the_exact_search_alone_places_whatever_can_be_placed(seed: int) -> None:
    """With a tenth of its nodes at that."""
    blocks = small_instance(seed)
    least = least_bytes(blocks)
    with patch.object(packing, "_HEURISTICS", (stacked,)):
        assert_valid(blocks, place_blocks(blocks, least, steps_of(blocks), node_limit=2_000), least)
        if least:
            assert failure(blocks, least - 1).needed_bytes >= least


@EXAMPLES
@given(SEEDS, st.integers(9, 14))
def test_pieces_of_a_rectangle_fit_it_again(seed: int, pieces: int) -> None:
    random = Random(seed)
    size = random.choice((12, 100, 2**20))
    blocks = cut(random, pieces, random.randint(4, 12), size)
    assert_placed(blocks, size)
    with patch.object(packing, "_HEURISTICS", (stacked,)):
        assert_placed(blocks, size)


@EXAMPLES
@given(SEEDS, st.integers(0, 60))
def test_any_answer_is_valid_and_any_refusal_names_enough_memory(seed: int, spare: int) -> None:
    """Also of several groups of blocks that never meet, and with so few nodes that the search often stops."""
    random = Random(seed)
    blocks = scattered(random, 40, 50)
    for group in range(random.randrange(4)):
        pieces = cut(random, 45, 18, random.choice((90, 100)))
        blocks += [Block(block.size_bytes, block.first + 18 * group + 9, block.last + 18 * group + 9) for block in pieces]
    capacity = max(0, load_of(blocks) + random.choice((0, spare, -spare)))
    try:
        assert_valid(blocks, place_blocks(blocks, capacity, steps_of(blocks), node_limit=150), capacity)
    except CapacityError as error:
        needed = error.needed_bytes
        assert needed > capacity
        assert_valid(blocks, place_blocks(blocks, needed, steps_of(blocks), node_limit=150), needed)


def test_heuristics_alone_do_fail() -> None:
    assert least_bytes(HARD) == load_of(HARD) == HARD_BYTES
    assert failure(HARD, HARD_BYTES, node_limit=0).needed_bytes == 13
    assert_placed(HARD, HARD_BYTES)
    searched = 0
    for seed in range(200):
        blocks = cut(Random(seed), 25, 15, 1000)
        with patch.object(packing, "_search", wraps=packing._search) as search:
            assert_placed(blocks, 1000)
        searched += search.called
    assert searched > 20


@pytest.mark.parametrize("blocks", [HARD, GAPPED, *SUBTLE])
def test_the_exact_search_takes_few_nodes(blocks: Instance) -> None:
    """However the steps are turned."""
    last = max(block.last for block in blocks)
    for turned in (blocks, [Block(block.size_bytes, last - block.last, last - block.first) for block in blocks]):
        capacity = load_of(blocks) + (blocks is GAPPED)
        addresses, nodes = packing._search(turned, capacity, 1000)
        assert addresses is not None
        assert_valid(turned, addresses, capacity)
        assert nodes < 30
    assert packing._search(GAPPED, 7, 1000)[0] is None


def test_the_largest_load_is_not_always_enough() -> None:
    assert load_of(GAPPED) == 7
    assert least_bytes(GAPPED) == 8
    assert failure(GAPPED, 7).needed_bytes == 8
    assert_placed(GAPPED, 8)


def test_the_step_to_blame_is_that_of_what_found_no_place() -> None:
    later = [Block(block.size_bytes, block.first + 1, block.last + 1) for block in GAPPED]
    full = Block(7, 0, 0)  # as large a load, but it fits
    error = failure([full, *later], 7)
    assert (error.needed_bytes, error.layer) == (8, "layer 1")
    assert failure([Block(9, 7, 7), *later], 8).layer == "layer 7"
    assert failure([Block(9, 7, 7), *later], 8).needed_bytes == 9


def test_a_load_that_is_too_large_is_blamed_on_its_step() -> None:
    blocks = [Block(3, 0, 1), Block(4, 1, 2), Block(6, 2, 2), Block(2, 3, 3)]
    error = failure(blocks, 9)
    assert (error.needed_bytes, error.layer) == (10, "layer 2")


def test_a_block_larger_than_the_memory() -> None:
    error = failure([Block(5, 0, 0), Block(101, 2, 4)], 100)
    assert (error.needed_bytes, error.layer) == (101, "layer 2")


def test_nothing_to_place() -> None:
    assert place_blocks([], 0, []) == ()
    assert place_blocks([], 10, ["a"]) == ()


def test_empty_blocks_take_no_place() -> None:
    assert place_blocks([Block(0, 0, 3), Block(0, 1, 1)], 0, list("abcd")) == (0, 0)
    assert place_blocks([Block(0, 0, 3), Block(8, 1, 1), Block(0, 1, 1)], 8, list("abcd")) == (0, 0, 0)


@EXAMPLES
@given(SEEDS)
def test_parts_at_fixed_distances_are_one_block(seed: int) -> None:
    """An output that overwrites the input, so many bytes below its start, at the step at which one becomes the other."""
    random = Random(seed)
    source, result = Block(random.randint(1, 40), 1, 4), Block(random.randint(1, 40), 4, 7)
    ahead = random.randint(0, 20)
    others = scattered(random, 12, 30)
    both = Block(max(ahead + source.size_bytes, result.size_bytes), source.first, result.last)
    capacity = load_of([both, *others]) + 10
    start, *rest = place_blocks([both, *others], capacity, steps_of([both, *others]))
    parts = ((source, start + ahead), (result, start))
    for part, low in parts:
        assert_valid([part, *others], [low, *rest], capacity)


def test_a_full_memory() -> None:
    assert place_blocks([Block(8, 0, 0), Block(8, 1, 3), Block(8, 4, 4)], 8, list("abcde")) == (0, 0, 0)


@pytest.mark.parametrize("limit", [1, 7, 20, 500])
def test_the_same_blocks_get_the_same_addresses(limit: int) -> None:
    for seed in range(20):
        blocks = cut(Random(seed), 30, 12, 300)
        answers = []
        for _ in range(2):
            try:
                answers.append(place_blocks(blocks, 300, steps_of(blocks), limit))
            except CapacityError as error:
                answers.append((error.needed_bytes,))
        assert answers[0] == answers[1]


def test_thousands_of_blocks() -> None:
    random = Random(1)
    births = [random.randrange(1000) for _ in range(3000)]
    blocks = [Block(random.randint(1, 9999), birth, min(999, birth + random.choice((0, 0, 0, 1, 1, 2)))) for birth in births]
    blocks += [Block(random.randint(1, 99), 0, 999) for _ in range(50)]
    capacity = load_of(blocks) * 21 // 20
    addresses = place_blocks(blocks, capacity, steps_of(blocks))
    ends = [0] * 1000
    for address, block in sorted(zip(addresses, blocks, strict=True), key=lambda pair: pair[0]):
        assert all(ends[step] <= address for step in range(block.first, block.last + 1))
        ends[block.first : block.last + 1] = [address + block.size_bytes] * (block.last + 1 - block.first)
    assert max(ends) <= capacity


def test_the_exact_search_goes_deeper_than_the_stack_of_calls() -> None:
    blocks = [Block(1 + index % 7, 0, index % 3) for index in range(1050)]
    with patch.object(packing, "_HEURISTICS", (lambda blocks: [2**40] * len(blocks),)):  # never low enough
        assert_valid(blocks, place_blocks(blocks, load_of(blocks), steps_of(blocks), node_limit=10**6), load_of(blocks))


def test_states_of_many_blocks_count_as_several_nodes() -> None:
    blocks = [Block(size, 0, 0) for size in range(1, 101)]
    assert packing._search(blocks, 5050, 1000)[1] == sum(1 + left // 32 for left in range(1, 101))
    assert packing._search(blocks, 5050, 100)[0] is None


def test_no_search_where_the_load_is_too_large() -> None:
    with patch.object(packing, "_search", side_effect=AssertionError):
        assert failure(HARD, HARD_BYTES - 1).needed_bytes == 13
