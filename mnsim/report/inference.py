"""`mnsim infer`: the best classes of each image, and how many are right."""

from collections.abc import Sequence
from typing import NamedTuple

from mnsim.document.blocks import Block, Column, Lines, Table
from mnsim.document.model import Document
from mnsim.graph.model import Graph
from mnsim.report.records import Record, rows_of


class Answer(NamedTuple):
    """An image's best classes with their scores, and its label, if it has one."""

    best: tuple[int, ...]
    scores: tuple[float, ...]
    label: int | None = None

    @property
    def is_correct(self) -> bool:
        return self.label == self.best[0]


def inference_document(graph: Graph, answers: Sequence[Answer]) -> Document:
    """A row an image, the share of right answers where there are labels, and the name of the output, if there
    are several.
    """
    labelled = [answer for answer in answers if answer.label is not None]
    right = sum(answer.is_correct for answer in labelled)
    top1 = right / len(labelled) if labelled else None
    outputs = [graph.maps[index].name for index in graph.outputs]

    def record() -> Record:
        images = list(map(_record, range(len(answers)), answers))
        return {"network": graph.name, "dtype": graph.dtype, "output": outputs[0], "images": images, "top1": top1}

    def rows() -> list[Record]:
        return [_flat(each) for each in record()["images"]]

    def blocks() -> list[Block]:
        flat = rows()
        table = Table(tuple(Column(name, [str(row[name]) for row in flat]) for name in flat[0]))
        lines = [] if top1 is None else [f"top-1: {right} of {len(labelled)} ({100 * top1:.1f} %)\n"]
        if len(outputs) > 1:
            lines.append(f"Of output {outputs[0]}, the first of {len(outputs)}: {', '.join(outputs)}.\n")
        return [table, Lines(lines)] if lines else [table]

    return Document(record, lambda: rows_of(rows()), lambda view: blocks())


def _record(image: int, answer: Answer) -> Record:
    label = {} if answer.label is None else {"label": answer.label, "correct": answer.is_correct}
    return {"image": image, "best": list(answer.best), "scores": list(answer.scores), **label}


def _flat(record: Record) -> Record:
    """Classes and scores joined with `;`."""
    best, scores = ";".join(map(str, record["best"])), ";".join(f"{score:.6g}" for score in record["scores"])
    return {key: str(value) if isinstance(value, bool) else value for key, value in {**record, "best": best, "scores": scores}.items()}
