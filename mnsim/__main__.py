"""`python -m mnsim`, and the `mnsim` command."""

import gc
import os
import sys


def run() -> None:
    """Run the command line and exit with its code.

    A command lives for a fraction of a second and its objects die with it: collecting them, at start-up
    and again at exit, would cost a seventh of the whole. A command that works longer turns the collector
    on again. Plugins of pydantic that happen to be installed are left out: looking for them reads the
    metadata of every installed package, and none has a part in a command.
    """
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from mnsim.cli.main import main

    code = main()
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    run()
