"""Words for how the operators of a segment run together."""

KINDS = {"rows": "rows pass", "channels": "channels pass"}  # of fused segments
ORDERS = {"demand": "on demand", "pipelined": "pipelined"}  # of the strips of a rows pass


def pass_words(kind: str, order: str) -> str:
    """A segment's kind and order; empty for an operator that runs alone."""
    return f"{KINDS[kind]}, {ORDERS[order]}" if kind == "rows" else KINDS.get(kind, "")
