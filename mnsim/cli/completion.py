"""`mnsim completion`."""

import click

from mnsim.cli.options import Colour, color_options
from mnsim.cli.places import FileCommand
from mnsim.cli.terminal import write_stdout

_INSTALL = {
    "bash": 'eval "$(mnsim completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(mnsim completion zsh)"  # in ~/.zshrc',
    "fish": "mnsim completion fish > ~/.config/fish/completions/mnsim.fish",
}


@click.command("completion", cls=FileCommand)
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@color_options
def command(shell: str, talk: Colour) -> None:
    """A script that lets SHELL complete commands, options and bundled names.

    \b
    bash:  eval "$(mnsim completion bash)"      in ~/.bashrc
    zsh:   eval "$(mnsim completion zsh)"       in ~/.zshrc
    fish:  mnsim completion fish > ~/.config/fish/completions/mnsim.fish
    """
    from mnsim.cli.main import COMPLETE, cli
    from mnsim.cli.shells import CLASSES

    write_stdout(f"# {_INSTALL[shell]}\n{CLASSES[shell](cli, {}, 'mnsim', COMPLETE).source()}\n")
