"""The exact search: every order of the blocks by itself, their turns, and what each pruning rule saves."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnsim.plan.packing import Block, apart, place_blocks, squeeze
from mnsim.plan.placement_search import NODE_BLOCKS, OrderedSearch, Search, _orders
from tests.test_packing import EXAMPLES, GAPPED, SEEDS, Instance, assert_valid, cut, failure, least_bytes, load_of, small_instance, steps_of


def searches_of(blocks: Sequence[Block], capacity: int) -> list[tuple[OrderedSearch, list[int]]]:
    """The search in each of its orders alone, with the order."""
    squeezed = squeeze(blocks)
    return [(OrderedSearch([squeezed[index] for index in order], capacity), order) for order in _orders(blocks, squeezed)]


@EXAMPLES
@given(SEEDS)
def test_every_order_alone_finds_a_placement_or_proves_that_there_is_none(seed: int) -> None:
    blocks = [block for block in small_instance(seed) if block.size_bytes]
    random = Random(seed)
    members = sorted(random.sample(range(len(blocks)), len(blocks)), key=lambda index: blocks[index].first)
    for group in apart(blocks, members):
        together = [blocks[member] for member in group]
        least = least_bytes(together)
        for search, order in searches_of(together, least):
            search.run(2_000)
            assert search.addresses is not None
            assert_valid([together[index] for index in order], search.addresses, least)
        for search, _ in searches_of(together, least - 1):
            search.run(2_000)
            assert search.ended
            assert search.addresses is None


def hard_rectangle(seed: int) -> Instance:
    return cut(Random(seed), 45, 18, 1000)


@pytest.mark.parametrize("seed", [107, 112, 135, 142, 184, 199, 205])
def test_full_rectangles_of_many_pieces_are_placed(seed: int) -> None:
    """With a tenth of the nodes that are allowed by default, where no heuristic places them."""
    blocks = hard_rectangle(seed)
    assert failure(blocks, 1000, node_limit=0).needed_bytes > 1000
    assert_valid(blocks, place_blocks(blocks, 1000, steps_of(blocks), node_limit=2_000), 1000)


@pytest.mark.parametrize("seed", [107, 112, 142, 205])
def test_what_one_order_places_soon_is_placed_soon_whatever_the_limit_is(seed: int) -> None:
    blocks = hard_rectangle(seed)
    turn = 2 * sum(1 + left // NODE_BLOCKS for left in range(1, len(blocks) + 1))
    alone = searches_of(blocks, 1000)
    for search, _ in alone:
        search.run(2_000)
    solved = [search.nodes for search, _ in alone if search.addresses is not None]
    assert solved
    assert len(solved) < len(alone)  # else the turns would not matter
    enough = len(alone) * (min(solved) + turn)
    for limit in (enough, 2 * enough, 2**40):
        search = Search(blocks, 1000)
        search.run(limit)
        assert search.addresses is not None
        assert_valid(blocks, search.addresses, 1000)
        assert search.nodes <= enough


def test_equal_blocks_are_decided_of_once() -> None:
    """Some blocks of these in three equal ones, which nobody can place: 414 nodes with each of them by itself."""
    blocks: Instance = []
    for index, block in enumerate(GAPPED):
        thirds = index in (0, 3, 4, 5, 7)
        blocks += [Block(block.size_bytes * (1 if thirds else 3), block.first, block.last)] * (3 if thirds else 1)
    search, _ = searches_of(blocks, 21)[0]
    search.run(1_000)
    assert search.ended
    assert search.addresses is None
    assert search.nodes < 30


def test_every_rule_saves_nodes_where_there_is_some_slack() -> None:
    """1,335 nodes when a block is not raised with the one below it, 1,973 without the dominance rule."""
    random = Random(38)
    blocks = [Block(max(1, block.size_bytes - random.randrange(4)), block.first, block.last) for block in cut(random, 40, 16, 1000)]
    nodes = 0
    for search, _ in searches_of(blocks, max(990, load_of(blocks)))[:2]:
        search.run(2_000)
        assert search.addresses is not None
        nodes += search.nodes
    assert nodes < 1_300


@EXAMPLES
@given(SEEDS, st.integers(1, 700), st.integers(1, 2_000), st.integers(0, 2_000))
def test_more_nodes_never_place_less(seed: int, piece: int, limit: int, more: int) -> None:
    """And a search that goes on after a stop ends as one that never stopped."""
    blocks = cut(Random(seed), 30, 12, 300)
    answers = []
    for limits in ([limit], [limit + more], [*range(piece, limit, piece), limit]):
        search = Search(blocks, 300)
        for each in limits:
            search.run(each)
            assert search.nodes <= each
        answers.append((search.addresses, search.ended))
    assert answers[0] == answers[2]
    assert answers[0] == answers[1] or answers[0] == (None, False)
