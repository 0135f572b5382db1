"""How commands behave: errors in a sentence, ids that a terminal only shows, help that goes on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from melnb.running import exits


def errors_told(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an error that a person can mend into its message, without a traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("\nstopped; the same command goes on with what is not finished", err=True)
            sys.exit(exits.STOPPED)
        except BrokenPipeError:  # `| head` has seen enough: click ends in silence
            raise
        except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
            if os.environ.get("MELNB_DEBUG"):
                raise
            from melnb.tables.files import describe

            refused = describe(error)
            message = f"{command.__name__}: {refused}" if refused else str(error)
            raise click.ClickException(printable(message or type(error).__name__)) from error

    return wrapped


def completing(name: str) -> Callable[..., list[str]]:
    """Return what completes an argument (`running.completion`), imported when TAB is pressed."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from melnb.running import completion

        words: list[str] = getattr(completion, name)(ctx, param, incomplete)
        return words

    return complete


def printable(text: str) -> str:
    """Return text that a terminal only shows: ids may hold what it would act on."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def say(text: object) -> None:
    """Print text so that a terminal only shows it."""
    click.echo(printable(str(text)))


class Verbs(click.Group):
    """Commands; a word that is none is answered with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first word."""
        from melnb.tables.nearest import did_you_mean

        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            verbs = self.list_commands(ctx)
            hint = did_you_mean(args[0], verbs, cutoff=0.5) or f" (commands: {', '.join(verbs)})"
            ctx.fail(printable(f"no command {args[0]!r}{hint}"))
        return super().resolve_command(ctx, args)


def terminal_width() -> int:
    """Return the characters that a line of the terminal has room for."""
    return shutil.get_terminal_size().columns


def parameters_of(stage: str) -> list[str]:
    """Return the lines that list the parameters of a stage."""
    from melnb.params.catalogue import parameter_lines, stage_class

    return parameter_lines(stage_class(stage), width=terminal_width(), bold=_bold)


def _bold(text: str) -> str:
    return click.style(text, bold=True)


class WithParameters(click.Command):
    """A command whose help goes on with the parameters of its stage, where one is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed: help is asked for before arguments are read."""
        ctx.meta["typed"] = [*args]
        return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help as click has it, and the parameters."""
        from melnb.params.catalogue import STAGES

        stages = [word for word in ctx.meta["typed"] if word in STAGES]
        lines = ["", *parameters_of(stages[0])] if stages else []
        return "\n".join([super().get_help(ctx), *lines])
