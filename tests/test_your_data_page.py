"""The page about one's own data: its commands are commands."""

import re
import shlex
from pathlib import Path

import pytest

from reblur.cli import parser

PAGE = (Path(__file__).parents[1] / "docs" / "your_data.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("reblur")
]


def test_the_page_shows_commands():
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_is_understood(line):
    assert callable(parser().parse_args(shlex.split(line)[1:]).run)
