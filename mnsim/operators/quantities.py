"""The table of hardware quantities: to add an overhead of an engine, add a row here and nothing else.

The hardware file, its schema, `--set`, the axes and columns of sweeps, both clocks, the closed form, `why`
and the headings of tables read it.
"""

from typing import Literal, NamedTuple

from mnsim.operators.table import MATRIX_KINDS, VECTOR_KINDS

Role = Literal["throughput", "overhead", "efficiency", "energy", "capacity"]


class Resource(NamedTuple):
    """What `why` says of a quantity: its name in results, in the table, in a sentence; what to do."""

    name: str
    short: str
    words: str
    advice: str


class Quantity(NamedTuple):
    """A number of the hardware file.

    `key` is where the file has it, `column` its name in results, `field` its place in the record `Hardware`:
    without one it stands there among `more`. `part` is the engine or the memory that it belongs to, `unit`
    what people write it in, and `heading` its name in tables, where that is not the column.

    `role` says what it does. A command takes its amount of work / `throughput`, times the `efficiency` of its
    kind, and each `overhead` of its engine in seconds; an `energy` is in joules a byte or an operation. Times
    and energies follow from these. Only on a `capacity`, in bytes, do plans depend.

    A quantity that is not needed is absent by default, an overhead 0. `kinds` are the keys below `key` where
    each kind of operation has a number of its own; each has a column, too.
    """

    key: str
    column: str
    role: Role
    part: str
    unit: str
    heading: str = ""
    field: str = ""
    is_needed: bool = False
    kinds: tuple[str, ...] = ()
    resource: Resource | None = None

    @property
    def section(self) -> str:
        """The part of the file that has it."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The key within its section."""
        return self.key.rpartition(".")[2]

    @property
    def less_is_better(self) -> bool:
        """Whether less of it is better."""
        return self.role in ("overhead", "energy")


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("bus.bandwidth", "bus_bandwidth_bytes_per_s", "throughput",
        "bus", "B/s", "bandwidth", "bus_bandwidth_bytes_per_s", True,
        resource=Resource("bandwidth", "bandwidth", "bandwidth", "buy bandwidth")),
    Quantity("internal_memory.capacity", "sram_capacity_bytes", "capacity",
        "sram", "B", "SRAM", "sram_capacity_bytes", True,
        resource=Resource("sram", "SRAM", "SRAM", "buy SRAM")),
    Quantity("external_memory.capacity", "external_capacity_bytes", "capacity",
        "external", "B", "external", "external_capacity_bytes"),
    Quantity("external_memory.latency", "external_latency_s", "overhead",
        "bus", "s", "latency", "external_latency_s",
        resource=Resource("latency", "latency", "external latency", "cut the external latency")),
    Quantity("matrix_unit.throughput", "matrix_throughput_per_s", "throughput",
        "matrix", "FLOPS", "matrix", "matrix.throughput_per_s", True,
        resource=Resource("matrix", "matrix unit", "the matrix unit", "buy a faster matrix unit")),
    Quantity("matrix_unit.launch_overhead", "matrix_launch_overhead_s", "overhead",
        "matrix", "s", "matrix launch", "matrix.launch_overhead_s",
        resource=Resource(
            "matrix_launch", "matrix launch", "the matrix unit's launch overhead", "cut the matrix unit's launch overhead")),
    Quantity("vector_unit.throughput", "vector_throughput_per_s", "throughput",
        "vector", "FLOPS", "vector", "vector.throughput_per_s", True,
        resource=Resource("vector", "vector unit", "the vector unit", "buy a faster vector unit")),
    Quantity("vector_unit.launch_overhead", "vector_launch_overhead_s", "overhead",
        "vector", "s", "vector launch", "vector.launch_overhead_s",
        resource=Resource(
            "vector_launch", "vector launch", "the vector unit's launch overhead", "cut the vector unit's launch overhead")),
    Quantity("matrix_unit.efficiency", "matrix_efficiency", "efficiency",
        "matrix", "", field="matrix.efficiency", kinds=MATRIX_KINDS),
    Quantity("vector_unit.efficiency", "vector_efficiency", "efficiency",
        "vector", "", field="vector.efficiency", kinds=VECTOR_KINDS),
    Quantity("external_memory.energy", "external_j_per_byte", "energy",
        "external", "J/B", field="energies.external_j_per_byte"),
    Quantity("internal_memory.energy", "sram_j_per_byte", "energy",
        "sram", "J/B", field="energies.sram_j_per_byte"),
    Quantity("matrix_unit.energy", "matrix_j_per_op", "energy",
        "matrix", "J/FLOP", field="energies.matrix_j_per_op"),
    Quantity("vector_unit.energy", "vector_j_per_op", "energy",
        "vector", "J/OP", field="energies.vector_j_per_op"),
)  # fmt: skip


FURTHER = "further_memories"  # the section of memories beside those two, by name; each has these quantities
OF_FURTHER: tuple[Quantity, ...] = (  # keys within the memory; the columns are fields of `OutsideMemory`
    Quantity("bandwidth", "bandwidth_bytes_per_s", "throughput", "bus", "B/s", is_needed=True),
    Quantity("capacity", "capacity_bytes", "capacity", "memory", "B"),
    Quantity("latency", "latency_s", "overhead", "bus", "s"),
    Quantity("energy", "j_per_byte", "energy", "memory", "J/B"),
)
TAKEN = tuple(  # words that a further memory cannot be called by, for they are of the machine's own parts
    dict.fromkeys(word for each in QUANTITIES for word in (each.part, each.section, each.section.partition("_")[0]))
)


def of_role(*roles: Role) -> tuple[Quantity, ...]:
    """The quantities of these roles, in the table's order."""
    return tuple(quantity for quantity in QUANTITIES if quantity.role in roles)


SRAM = next(quantity for quantity in of_role("capacity") if quantity.part == "sram")
CAPACITIES = of_role("capacity")
TIMED = of_role("throughput", "overhead", "efficiency")  # all that times depend on
RATES = tuple(quantity for quantity in TIMED if not quantity.kinds)
EFFICIENCIES = of_role("efficiency")
ENERGIES = of_role("energy")
OVERHEADS = of_role("overhead")
RESOURCES = {  # what more of is better, then what less of is
    quantity.resource.name: quantity for quantity in sorted(QUANTITIES, key=lambda quantity: quantity.less_is_better) if quantity.resource
}


def kind_column(quantity: Quantity, kind: str) -> str:
    """The column of a kind's own number."""
    return f"{quantity.column}_{kind}"


def rate_column(key: str) -> str | None:
    """The name that a rate has in results; None for a value on which plans depend, or no time or energy."""
    for quantity in (*TIMED, *ENERGIES):
        if quantity.kinds and key.startswith(f"{quantity.key}."):
            return kind_column(quantity, key.removeprefix(f"{quantity.key}."))
        if quantity.key == key and not quantity.kinds:
            return quantity.column
    return None
