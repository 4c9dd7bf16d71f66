"""Ways to break a program, whatever made it: each takes a Program and a random source and gives a changed Program, or None.

Not every change does harm (a part read twice as far may still lie in the value): `tests.program_oracle` tells.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from mnsim.program.model import Command, Load, Program, Region, Store, Vector, engine_of

Mutator = Callable[[Program, Random], Program | None]


def mutants(program: Program, random: Random, times: int = 1) -> Iterator[tuple[str, Program]]:
    """Each kind of change, that many times, with its name; those left out that change nothing or find nothing to change."""
    for name in MUTATORS:
        for _ in range(times):
            mutant = mutate(name, program, random)
            if mutant is not None:
                yield name, mutant


def mutate(name: str, program: Program, random: Random) -> Program | None:
    """One change of a kind; None if there is nothing to change."""
    mutant = MUTATORS[name](program, random)
    return None if mutant == program else mutant


# ---- changing one command or one region


def changed(program: Program, command: Command) -> Program:
    """The program with another command in the place of the one of its id."""
    return replace(program, commands=(*program.commands[: command.id], command, *program.commands[command.id + 1 :]))


def with_region(program: Program, place: tuple[int, str, int], region: Region) -> Program:
    """The program with another region in a place: a command's id, reads or writes, and which of them."""
    identity, side, index = place
    command = program.commands[identity]
    regions = list(getattr(command, side))
    regions[index] = region
    return changed(program, replace(command, **{side: tuple(regions)}))


def _pick(program: Program, random: Random, sides: Sequence[str] = ("reads", "writes")) -> tuple[tuple[int, str, int], Region]:
    command, side = random.choice(program.commands), random.choice(sides)
    index = random.randrange(len(getattr(command, side)))
    return (command.id, side, index), getattr(command, side)[index]


def _delta(random: Random, region: Region) -> int:
    return random.choice((-1, 1)) * random.choice((1, region.run_bytes, region.stride_bytes, random.randint(1, region.size_bytes)))


def shift_read(program: Program, random: Random) -> Program | None:
    place, region = _pick(program, random, ("reads",))
    return with_region(program, place, replace(region, start=region.start + _delta(random, region)))


def shift_write(program: Program, random: Random) -> Program | None:
    place, region = _pick(program, random, ("writes",))
    return with_region(program, place, replace(region, start=region.start + _delta(random, region)))


def resize(program: Program, random: Random) -> Program | None:
    """Shrink or grow a region."""
    place, region = _pick(program, random)
    if random.random() < 0.5:
        return with_region(program, place, replace(region, runs=region.runs + random.choice((-1, 1))))
    run = max(0, region.run_bytes + random.choice((-1, 1)) * random.randint(1, region.run_bytes))
    return with_region(program, place, replace(region, run_bytes=run, stride_bytes=run if region.runs == 1 else region.stride_bytes))


def respace(program: Program, random: Random) -> Program | None:
    """Another stride."""
    wide = [command for command in program.commands if any(region.runs > 1 for region in (*command.reads, *command.writes))]
    if not wide:
        return None
    command = random.choice(wide)
    side, index, region = random.choice(
        [(side, index, region) for side in ("reads", "writes") for index, region in enumerate(getattr(command, side)) if region.runs > 1]
    )
    stride = region.stride_bytes + random.choice((-region.stride_bytes, -region.run_bytes, -1, 1, region.run_bytes))
    return with_region(program, (command.id, side, index), replace(region, stride_bytes=stride))


def cut_short(program: Program, random: Random) -> Program | None:
    """A transfer that moves less, on both sides."""
    plain = [
        command
        for command in program.commands
        if isinstance(command, Load | Store) and (*command.reads[1:], *command.writes[1:]) == () and command.reads[0].run_bytes > 1
        if command.reads[0].runs == command.writes[0].runs == 1
    ]
    if not plain:
        return None
    command = random.choice(plain)
    size = random.randrange(1, command.reads[0].run_bytes)
    read, written = (replace(region, run_bytes=size, stride_bytes=size) for region in (command.reads[0], command.writes[0]))
    return changed(program, replace(command, reads=(read,), writes=(written,)))


def swap_addresses(program: Program, random: Random) -> Program | None:
    """Two commands that each write (or read) where the other does."""
    side = random.choice(("reads", "writes"))
    (one, first), (two, second) = _pick(program, random, (side,)), _pick(program, random, (side,))
    if first.memory != second.memory or one[0] == two[0]:
        return None
    if first.size_bytes == second.size_bytes:
        return with_region(with_region(program, one, replace(second, data=first.data)), two, replace(first, data=second.data))
    moved = with_region(program, one, replace(first, start=second.start))
    return with_region(moved, two, replace(second, start=first.start))


def relocate(program: Program, random: Random) -> Program | None:
    """A value that all its users look for elsewhere in SRAM: onto others, where addresses were given out badly."""
    _, chosen = _pick(program, random)
    _, other = _pick(program, random)
    if chosen.memory != "sram" or other.memory != "sram":
        return None
    delta = other.start - chosen.start

    def moved(regions: tuple[Region, ...]) -> tuple[Region, ...]:
        return tuple(
            replace(region, start=region.start + delta) if region.memory == "sram" and region.data == chosen.data else region
            for region in regions
        )

    commands = (replace(command, reads=moved(command.reads), writes=moved(command.writes)) for command in program.commands)
    return replace(program, commands=tuple(commands))


def stale_value(program: Program, random: Random) -> Program | None:
    """A reader that wants, or a writer that makes, the value of another."""
    place, region = _pick(program, random)
    return with_region(program, place, replace(region, data=_pick(program, random)[1].data))


def outside_memory(program: Program, random: Random) -> Program | None:
    place, region = _pick(program, random)
    size = program.memories[region.memory]
    return with_region(program, place, replace(region, start=size - random.randrange(region.end - region.start)))


def negative_start(program: Program, random: Random) -> Program | None:
    place, region = _pick(program, random)
    return with_region(program, place, replace(region, start=-random.randint(1, region.size_bytes)))


def wrong_memory(program: Program, random: Random) -> Program | None:
    place, region = _pick(program, random)
    return with_region(program, place, replace(region, memory=random.choice([name for name in program.memories if name != region.memory])))


def wrong_bus(program: Program, random: Random) -> Program | None:
    """A transfer on a bus that leads elsewhere, or nowhere in this program."""
    command = random.choice([command for command in program.commands if isinstance(command, Load | Store)])
    return changed(program, replace(command, bus="flash_bus" if command.bus == "bus" else "bus"))


def other_memory(program: Program, random: Random) -> Program | None:
    """A transfer to or from another memory outside, over its bus, where it fits."""
    command = random.choice([command for command in program.commands if isinstance(command, Load | Store)])
    memory, bus = ("flash", "flash_bus") if command.bus == "bus" else ("external", "bus")
    side = "reads" if isinstance(command, Load) else "writes"
    there = tuple(replace(region, memory=memory) for region in getattr(command, side))
    if any(region.end > program.memories.get(memory, 0) for region in there):
        return None
    return changed(program, replace(command, bus=bus, **{side: there}))


# ---- waits


def needed_waits(program: Program) -> list[tuple[int, int]]:
    """The waits (command, for which) that neither a command's other waits nor its engine's queue imply."""
    before: list[set[int]] = []
    last: dict[str, int] = {}
    found = []
    for command in program.commands:
        engine = engine_of(command)
        direct = {*command.depends_on, *([last[engine]] if engine in last else [])}
        for wait in command.depends_on:
            if wait != last.get(engine) and not any(wait in before[other] for other in direct - {wait}):
                found.append((command.id, wait))
        before.append(direct.union(*(before[other] for other in direct)))
        last[engine] = command.id
    return found


def _without(command: Command, wait: int) -> Command:
    waits, room = (tuple(other for other in waits if other != wait) for waits in (command.depends_on, command.room))
    return replace(command, depends_on=waits, room=room)


def drop_wait(program: Program, random: Random) -> Program | None:
    needed = needed_waits(program)
    if not needed:
        return None
    command, wait = random.choice(needed)
    return changed(program, _without(program.commands[command], wait))


def wait_for_another(program: Program, random: Random) -> Program | None:
    """A wait for a command just before or after the right one, perhaps one that is not earlier."""
    needed = needed_waits(program)
    if not needed:
        return None
    identity, wait = random.choice(needed)
    command = _without(program.commands[identity], wait)
    waits = {*command.depends_on, wait + random.choice((-2, -1, 1, 2))}
    return changed(program, replace(command, depends_on=tuple(sorted(waits))))


# ---- other commands, or in another order


def reordered(program: Program, commands: Sequence[Command]) -> Program:
    """The program with these of its commands, in this order, numbered anew; waits for what is no longer earlier are lost."""
    place = {id(command): index for index, command in enumerate(commands)}
    now = {command.id: place[id(command)] for command in program.commands if id(command) in place}
    renumbered = []
    for index, command in enumerate(commands):
        waits, room = (tuple(now[wait] for wait in waits if now.get(wait, index) < index) for waits in (command.depends_on, command.room))
        renumbered.append(replace(command, id=index, depends_on=waits, room=room))
    return replace(program, commands=tuple(renumbered))


def move_earlier(program: Program, random: Random) -> Program | None:
    commands = list(program.commands)
    command = commands.pop(random.randrange(1, len(commands)))
    commands.insert(random.randint(max(0, command.id - 5), command.id - 1), command)
    return reordered(program, commands)


def _remove(program: Program, random: Random, kind: type[Command]) -> Program | None:
    found = [command for command in program.commands if isinstance(command, kind)]
    gone = random.choice(found)
    kept = []
    for command in program.commands:
        if command.id != gone.id:
            waits, room = set(command.depends_on), set(command.room) - {gone.id}
            if gone.id in waits:  # waits pass through: what is missing is the transfer, not an order
                waits = waits - {gone.id} | set(gone.depends_on)
            kept.append(replace(command, depends_on=tuple(sorted(waits)), room=tuple(sorted(room))))
    return reordered(replace(program, commands=tuple(kept)), kept)


def remove_load(program: Program, random: Random) -> Program | None:
    return _remove(program, random, Load)


def remove_store(program: Program, random: Random) -> Program | None:
    return _remove(program, random, Store)


def _output_stores(program: Program) -> list[Store]:
    outputs = {region.data for region in program.outputs}
    stores = [command for command in program.commands if isinstance(command, Store)]
    return [command for command in stores if any(region.data in outputs for region in command.writes)]


def store_twice(program: Program, random: Random) -> Program | None:
    """The output stored again, at once or some commands later."""
    store = random.choice(_output_stores(program))
    commands = list(program.commands)
    commands.insert(random.randint(store.id + 1, len(commands)), replace(store, layer=f"{store.layer} again"))
    return reordered(program, commands)


def redirect_store(program: Program, random: Random) -> Program | None:
    store = random.choice([command for command in program.commands if isinstance(command, Store)])
    region = store.writes[0]
    start = random.randint(0, program.memories[region.memory] - (region.end - region.start))
    return with_region(program, (store.id, "writes", 0), replace(region, start=start))


def update_after_store(program: Program, random: Random) -> Program | None:
    """The last update in place of what an output store reads, moved behind the store."""
    pairs = []
    for store in _output_stores(program):
        wanted = {region.data for region in store.reads}
        updates = [
            command
            for command in program.commands[: store.id]
            if isinstance(command, Vector) and command.writes[0].data in wanted and command.reads[0].start == command.writes[0].start
        ]
        pairs += [(updates[-1], store)] if updates else []
    if not pairs:
        return None
    update, store = random.choice(pairs)
    commands = [command for command in program.commands if command is not update]
    commands.insert(commands.index(store) + 1, update)
    return reordered(program, commands)


MUTATORS: dict[str, Mutator] = {
    mutator.__name__: mutator
    for mutator in (
        *(shift_read, shift_write, resize, respace, cut_short, swap_addresses, relocate, stale_value),
        *(outside_memory, negative_start, wrong_memory, wrong_bus, other_memory, drop_wait, wait_for_another),
        *(move_earlier, remove_load, remove_store, store_twice, redirect_store, update_after_store),
    )
}
