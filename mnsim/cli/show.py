"""How a command shows its result: a document in the chosen format, on the screen or in a file."""

import sys
from collections.abc import Iterable

from mnsim.cli.options import Output, Talk
from mnsim.cli.terminal import PIPE_WIDTH, emit, wants_color, width_of
from mnsim.document.model import Document
from mnsim.render.formats import Screen, render


def show(document: Document, output: Output, talk: Talk) -> None:
    """Write the document to standard output or to its file."""
    emit(rendered(document, output, talk), output.output, talk.quiet)


def rendered(document: Document, output: Output, talk: Talk) -> Iterable[str | bytes]:
    """The document in pieces, for the options of the command line."""
    width = width_of(sys.stdout) if output.to_screen else PIPE_WIDTH
    color = wants_color(talk.color, sys.stdout) and (output.to_screen or talk.color == "always")
    return render(output.chosen, document, Screen(width, color, talk.view))
