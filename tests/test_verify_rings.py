"""What passes through rings is compared, too: the first wrong command of a segment is named, and not only a wrong output."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from mnsim.lowering import lower as lowering
from mnsim.lowering import rings
from mnsim.lowering.rings import Band, Ring
from mnsim.lowering.work import Work
from mnsim.pipeline import Planned, plan_network
from mnsim.plan.model import Order
from mnsim.plan.passes import Pass, Step
from mnsim.plan.pieces import Span
from mnsim.program.check import check
from mnsim.program.model import Program
from mnsim.proof import Verified, verify
from mnsim.reference.calibrate import noise_images
from mnsim.reference.weights import random_weights
from tests.helpers import chain, seed_with

PASS = chain(
    "{conv: 8, kernel: 3, activation: relu}",
    "{depthwise: 3}",
    "{conv: 6, kernel: 1}",
    "{conv: 4, kernel: 3, stride: 2}",
    shape="[24, 10, 3]",
)
BRANCHES = chain(
    "{conv: 6, kernel: 1, name: squeeze}",
    "{conv: 4, kernel: 1, name: left}",
    "{conv: 4, kernel: 3, input: squeeze, name: right}",
    "{concat: [left, right], name: join}",
    "{conv: 5, kernel: 3}",
    "{add: [conv1, conv1]}",
    shape="[20, 9, 3]",
)


def planned(network: object = PASS, sram: int = 2600, **options: object) -> Planned:
    found = plan_network(network, seed_with(f"internal_memory.capacity={sram} B"), **options)  # type: ignore[arg-type]
    assert any(segment.kind == "rows" and len(segment.cuts) > 2 for segment in found.plan.segments)
    return found


def proved(case: Planned, program: Program | None = None) -> Verified:
    """A program that is given is not checked first."""
    made = program or lowering.lower(case.graph, case.plan)
    return verify(case._replace(program=made), random_weights(case.graph), noise_images(case.graph, 1)[0])


@pytest.mark.parametrize(("network", "sram"), [(PASS, 2600), (PASS, 4000), (BRANCHES, 2600), (BRANCHES, 6000)])
def test_rows_in_rings_are_compared_once_each(network: object, sram: int) -> None:
    """Whatever is written is counted: what a layer makes, wherever that is, and what a transfer moves; inputs and weights are not."""
    case = planned(network, sram)
    found = proved(case)
    assert found.identical
    made = {operator.output for operator in case.graph.operators if operator.macs or operator.vector_ops}
    sizes = {each.index: each.size_bytes for each in case.graph.maps}
    weights = sum(operator.weight_bytes for operator in case.graph.operators)
    moved = found.simulated.estimate.total.traffic_bytes - weights  # maps, loaded or stored
    homes = case.plan.homes
    passed_or_kept = sum(sizes[index] for index in made if not homes[index].is_external)
    in_rings = sum(sizes[index] for index in made if homes[index].is_external)  # made in a ring, and stored from there
    assert any(home.is_passed for home in homes)
    assert found.compared_elements == passed_or_kept + in_rings + moved


def test_a_channels_pass_is_compared_too() -> None:
    network = chain("{conv: 64, kernel: 1, activation: relu}", "{depthwise: 3, stride: 2}", "{conv: 8, kernel: 1}", shape="[8, 8, 16]")
    case = plan_network(network, seed_with("internal_memory.capacity=4000 B"))
    blocks = [segment for segment in case.plan.segments if segment.kind == "channels"]
    assert blocks
    program = lowering.lower(case.graph, case.plan)
    channels = {case.graph.operators[segment.cuts[0].operator].output for segment in blocks}
    assert channels <= {part.map for part in program.passed.values()}
    assert proved(case).identical
    member = case.graph.operators[blocks[0].cuts[0].operator].name
    place, command = next(
        (place, each) for place, each in enumerate(program.commands) if each.layer == member and each.writes[0].data in program.passed
    )
    wrong = replace(command, reads=(replace(command.reads[0], start=command.reads[0].start + 1), *command.reads[1:]))
    found = proved(case, replace(program, commands=(*program.commands[:place], wrong, *program.commands[place + 1 :])))
    assert found.first_difference is not None
    assert (found.first_difference.command, found.first_difference.layer) == (place, member)


def shorter(work: Work, ring: Ring, rows: Span) -> None:
    """`open_rows` with row r at row r modulo one row less than the ring of conv1 has."""
    size = ring.rows - (ring.storage == work.graph.slots[1].storage)
    if ring.bands and ring.bands[-1].rows[1] >= rows[1]:
        return
    for row in range(*rows):
        start = ring.turns[0].address + row % size * ring.row_bytes
        ring.bands.append(Band((row, row + 1), start, work.sram.open(start, ring.row_bytes, ring.pixel_bytes)))


def test_a_ring_one_row_too_short_is_found_in_its_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader is the first that is wrong: the rows themselves were right when they were written."""
    case = planned()
    monkeypatch.setattr("mnsim.lowering.operands.open_rows", shorter)
    found = proved(case)
    assert not found.identical
    first = found.first_difference
    assert first is not None
    assert first.layer == "dw1"
    assert case.plan.homes[2].is_passed  # dw1's map has no home: nothing else would name it
    assert first.command == min(each.id for each in wrong_reads(found) if each.layer == "dw1")


def wrong_reads(found: Verified) -> Iterator[object]:
    """The commands that read a byte of SRAM which another value has taken by then, in the order in which they start."""
    program, timeline = found.simulated.program, found.simulated.timeline
    events = sorted(
        [(timeline.ends_s[each.id], 0, each) for each in program.commands]
        + [(timeline.starts_s[each.id], 1, each) for each in program.commands],
        key=lambda event: event[:2],
    )
    owner: dict[int, int] = {}
    for _, is_start, command in events:
        for region in command.reads if is_start else command.writes:
            if region.memory != "sram":
                continue
            run_starts = range(region.start, region.start + region.runs * region.stride_bytes, region.stride_bytes)
            touched = [start + place for start in run_starts for place in range(region.run_bytes)]
            if not is_start:
                owner.update(dict.fromkeys(touched, region.data))
            elif any(owner.get(byte) != region.data for byte in touched):
                yield command
                break


def test_a_step_too_early_is_found_in_its_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """conv1 makes a strip before dw1 has read what lies there."""
    case = planned()
    order = lowering.rows_order

    def hasty(work: Pass, how: Order) -> Sequence[Step]:
        steps = order(work, how)
        starts = {step.strip: place for place, step in enumerate(steps) if step.member == 0 and not step.part}
        places = [starts[max(0, step.strip - 3)] if step.member == 0 else place for place, step in enumerate(steps)]
        return [
            steps[number] for number in sorted(range(len(steps)), key=lambda number: (places[number], steps[number].member > 0, number))
        ]

    def lasting(work: Work, ring: Ring, rows: Span) -> None:
        kept = list(ring.bands)
        rings_open(work, ring, rows)
        ring.bands = kept + [band for band in ring.bands if band not in kept]

    rings_open = rings.open_rows
    monkeypatch.setattr("mnsim.lowering.lower.rows_order", hasty)
    monkeypatch.setattr("mnsim.lowering.operands.open_rows", lasting)
    monkeypatch.setattr("mnsim.lowering.rings.open_rows", lasting)
    program = lowering.lower(case.graph, case.plan)
    with pytest.raises(Exception, match="command"):
        check(program, case.hardware)
    first = proved(case, program).first_difference
    assert first is not None
    assert first.layer == "dw1"  # the first that reads what conv1 has written over
