"""How little SRAM an operator can do with."""

from mnsim.graph.model import Graph, Operator
from mnsim.plan.tiles import smallest_bytes
from mnsim.plan.tiling import make_geometry


def streamed_bytes(graph: Graph, operator: Operator) -> int:
    """The bytes of SRAM that the operator needs when all its maps are in external memory."""
    return smallest_bytes(make_geometry(graph, operator, range(len(graph.storages))))


def needed_bytes(graph: Graph, operator: Operator) -> int:
    """The bytes of SRAM without which no plan has room for the operator, however it is cut and wherever its
    maps are.

    A map that the operator reads several times streams into as many strips, so it can be smaller as a whole.
    What one map adds does not depend on where another is: each is decided by itself.
    """
    external = set(range(len(graph.storages)))
    least, resident = streamed_bytes(graph, operator), 0
    for index in sorted({graph.slots[number].storage for number in (*operator.inputs, operator.output)}):
        size = resident + graph.storages[index].size_bytes
        total = size + smallest_bytes(make_geometry(graph, operator, external - {index}))
        if total < least:
            least, resident, external = total, size, external - {index}
    return least
