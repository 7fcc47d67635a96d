"""What begins with a dash: a text, or an option."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from babelmix.cli.app import app as whole
from babelmix.cli.words import Command

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(cls=Command)
def find(
    words: Annotated[list[str] | None, typer.Argument()] = None,
    policy: Annotated[str, typer.Option("--policy", "-p")] = "any",
    k: Annotated[int, typer.Option("-k")] = 10,
    once: Annotated[bool, typer.Option("--once/--often", "-o")] = False,
) -> None:
    typer.echo(repr((words or [], policy, k, once)))


def found(*words: str) -> object:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return eval(done.output)


@pytest.mark.parametrize(
    "text",
    ["-5 degrees", "-5", "-40°C", "-", "- a list", "--5", "-- two dashes", "-ö", "-αβγ", "-open house", "-.5", "---", "-水",
     "-once upon a time", "--once upon a time", "-5=x", "--a b=c"],
)  # fmt: skip
def test_a_text_that_begins_with_a_dash(text: str) -> None:
    assert found(text) == ([text], "any", 10, False)
    assert found(text, "-k", "3", "--policy", "balanced") == ([text], "balanced", 3, False)
    assert found("-k3", "before", text, "--once", "after") == (["before", text, "after"], "any", 3, True)
    assert found("--once", "--", text, "-k") == ([text, "-k"], "any", 10, True)


def test_the_value_of_an_option_may_begin_with_a_dash() -> None:
    assert found("--policy", "-5 degrees", "x") == (["x"], "-5 degrees", 10, False)
    assert found("--policy=-5 degrees", "-6 degrees") == (["-6 degrees"], "-5 degrees", 10, False)
    assert found("-pa b", "-6") == (["-6"], "a b", 10, False)
    assert found("-k", "-3", "-6") == (["-6"], "any", -3, False)


@pytest.mark.parametrize(
    ("word", "said"),
    [("--polcy", "--policy"), ("--polcy=a b", "--policy"), ("-z", "-z"), ("-foo", "-f"), ("--onc", "--once")],
)
def test_what_was_meant_as_an_option_is_refused(word: str, said: str) -> None:
    for words in ([word], [word, "-5 degrees"], ["-5 degrees", word]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2
        assert said in done.output


def test_every_command_takes_texts_that_begin_with_a_dash() -> None:
    assert {command.cls for command in whole.registered_commands} == {Command}
    done = CliRunner().invoke(whole, ["search", "-5 degrees"])
    assert "in: is missing" in str(done.exception)
    assert "No such option" in CliRunner().invoke(whole, ["search", "-5 degrees", "--polcy", "any"]).output
    assert CliRunner().invoke(whole, ["search", "-h"]).exit_code == 0
