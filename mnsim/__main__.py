"""`python -m mnsim`, and the `mnsim` command."""

import gc
import sys


def run() -> None:
    """Run the command line and exit with its code.

    A command lives for a fraction of a second and its objects die with it: collecting them, at start-up and again at exit, would
    cost a seventh of the whole. A command that works longer turns the collector on again.
    """
    gc.disable()
    from mnsim.cli.main import main

    code = main()
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    run()
