"""Command lines of both packages: what every command does with its values."""

import click
import pytest
from click.testing import CliRunner

import lenssim.cli
from lenssim.command_line.command_group import CommandGroup


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
