"""`mnsim explain`."""

from importlib.resources import files
from typing import Any

import click
from click.shell_completion import CompletionItem

from mnsim.cli.faults import command_line
from mnsim.cli.options import Colour, color_options
from mnsim.cli.places import FileCommand
from mnsim.cli.terminal import write_stdout
from mnsim.cli.words import TextType
from mnsim.errors import SpecError, did_you_mean, shown


def topics() -> dict[str, tuple[str, str]]:
    """Every topic's title and text, by its word: the sections of explanations.md."""
    text = files("mnsim").joinpath("explanations.md").read_text(encoding="utf-8")
    sections = [section.partition("\n") for section in text.split("\n## ")[1:]]
    return {heading.split(":")[0].strip(): (heading.partition(":")[2].strip(), body.strip()) for heading, _, body in sections}


class Topic(TextType):
    """A topic's word, which the shell can complete."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        return [CompletionItem(word, help=title) for word, (title, _) in topics().items() if word.startswith(incomplete)]


@click.command("explain", cls=FileCommand)
@click.argument("topic", required=False, type=Topic())
@color_options
def command(topic: str | None, talk: Colour) -> None:
    """What is counted and how (`mnsim explain counting`), and what an error code means (`mnsim explain
    S105`).

    Without a TOPIC, the list of them.
    """
    known = topics()
    if topic is None:
        width = max(map(len, known))
        write_stdout("".join(f"{word.ljust(width)}  {title}\n" for word, (title, _) in known.items()))
        return
    word = next((word for word in known if word.casefold() == topic.casefold()), None)
    if word is None:
        remedy = did_you_mean(topic, known)
        raise SpecError("U001", f"no topic {shown(topic)}", command_line(["explain", topic], 1), remedy)
    title, body = known[word]
    write_stdout(f"{word}: {title}\n\n{body}\n")
