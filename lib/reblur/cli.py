"""The command line: `reblur data · deblur · evaluate · import · study · notebook · …`."""

import argparse
import os
import sys

import reblur
from reblur.errors import ReblurError


def parser() -> argparse.ArgumentParser:
    """The whole command line; every sub-command sets `run`, a function of the parsed arguments."""
    from reblur.datasets.catalogue.commands import add_commands as add_data_commands
    from reblur.evaluation.commands import add_commands as add_evaluation_commands
    from reblur.evaluation.import_commands import add_import
    from reblur.study.commands import add_commands as add_study_commands

    top = argparse.ArgumentParser(prog="reblur", description=reblur.__doc__)
    top.add_argument("--version", action="version", version=f"reblur {reblur.__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    add_data_commands(commands)
    add_evaluation_commands(commands)
    add_import(commands)
    add_study_commands(commands)
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
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("reblur: stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
