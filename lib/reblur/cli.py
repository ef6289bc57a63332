"""The command line: `reblur data · deblur · evaluate · import · study · notebook · …`."""

import argparse
import os
import sys

import reblur
from reblur.errors import ReblurError


def parser() -> argparse.ArgumentParser:
    """The whole command line; every sub-command sets `run`, a function of the parsed arguments."""
    from reblur.commands import deblur, evaluate, import_weights, study
    from reblur.datasets.catalogue import commands as data

    top = argparse.ArgumentParser(prog="reblur", description=reblur.__doc__)
    top.add_argument("--version", action="version", version=f"reblur {reblur.__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    for room in (data, evaluate, deblur, import_weights, study):
        room.add_commands(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit status (2 after an error that the user can mend)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal, or a file's name, that is not UTF-8
            stream.reconfigure(errors="backslashreplace")
    parsed = parser().parse_args(arguments)
    try:
        return parsed.run(parsed) or 0
    except ReblurError as error:
        print(f"reblur: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("reblur: the memory does not hold it; close other programs.", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:
            raise
        place = error.filename2 or error.filename
        print(f"reblur: {place}: {error.strerror}; name another place.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("reblur: stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
