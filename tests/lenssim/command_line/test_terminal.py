"""Any text is printed on any terminal, and what every command does with its values."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import lenssim.cli
from lenssim.command_line.command_group import CommandGroup

ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
PRINT = """
from lenssim.command_line.command_group import escape_what_cannot_be_encoded
escape_what_cannot_be_encoded()
print("caf\\xe9 \\u2500 \\udcff")
"""


def run(settings, *arguments, folder=None):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | settings,
        cwd=folder,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("settings", ASCII)
def test_info_shows_an_archive_whose_path_the_terminal_cannot_write(
    settings, archive_folder, tmp_path
):
    (tmp_path / "élargi").symlink_to(archive_folder)
    done = run(settings, "-m", "lenssim", "info", "élargi", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"largi: model B" in done.stdout


REFUSE = """
from lenssim.command_line.command_group import CommandGroup
import click
group = CommandGroup("program")
@group.command()
@click.argument("path")
def save(path):
    path.encode("utf-8")
group()
"""


def test_a_path_that_the_locale_cannot_express_is_one_sentence():
    done = run(ASCII[1], "-c", REFUSE, "save", "élargi")
    assert done.returncode == 1
    [line] = done.stderr.decode().splitlines()
    assert "largi cannot be expressed in ascii, the encoding of this locale" in line
    assert "set PYTHONUTF8=1" in line


@pytest.mark.parametrize("settings", ASCII)
def test_characters_that_an_encoding_lacks_are_escaped_and_bytes_of_names_kept(settings):
    done = run(settings, "-c", PRINT)
    assert done.stdout == b"caf\\xe9 \\u2500 \xff\n", done.stderr


def test_characters_that_an_encoding_has_are_written():
    done = run({"PYTHONIOENCODING": "utf-8"}, "-c", PRINT)
    assert done.stdout == "caf\xe9 \u2500 ".encode() + b"\xff\n"


def commands(group, path=()):
    """Every command of a group, with the words that call it."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def groups():
    yield lenssim.cli.main
    models = pytest.importorskip("lensmodels.cli")
    yield models.main


def empty_values(path, command):
    """Words that give one parameter of a command an empty value."""
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield [*path, ""]
        elif not parameter.is_flag and parameter.nargs == 1:
            yield [*path, parameter.opts[0], ""]
            yield [*path, f"{parameter.opts[0]}= "]


def test_every_command_refuses_an_empty_value():
    tried = 0
    for group in groups():
        for path, command in commands(group):
            for words in empty_values(path, command):
                result = CliRunner().invoke(group, words)
                assert result.exit_code == 2, words
                assert "it is empty" in result.stderr, words
                tried += 1
    assert tried > 100


def test_an_empty_value_among_several_is_refused():
    group = CommandGroup("program")

    @group.command()
    @click.argument("files", nargs=-1)
    def show(files):
        click.echo(files)

    assert CliRunner().invoke(group, ["show", "a", "b"]).exit_code == 0
    result = CliRunner().invoke(group, ["show", "a", ""])
    assert result.exit_code == 2
    assert "Invalid value for '[FILES]...': it is empty" in result.stderr
