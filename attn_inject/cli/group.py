"""The command group: `attn-inject MODEL ...` means `attn-inject inject MODEL ...`."""

from __future__ import annotations

import difflib
from typing import Any

from typer.core import TyperGroup

from attn_inject.cli.boundary import MEANT_COMMAND

_DEFAULT = "inject"


class InjectByDefault(TyperGroup):
    """A group that passes everything that does not begin with a command's name to `inject`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command first if no command is named; no argument at all means help."""
        if not args:
            return super().parse_args(ctx, args if ctx.resilient_parsing else ["--help"])
        if args[0] in self.commands or args[0].partition("=")[0] in self._own_options(ctx):
            return super().parse_args(ctx, args)
        ctx.meta[MEANT_COMMAND] = next(
            iter(difflib.get_close_matches(args[0], self.commands, cutoff=0.7)), None
        )
        return super().parse_args(ctx, [_DEFAULT, *args])

    def _own_options(self, ctx: Any) -> set[str]:
        return {name for option in self.get_params(ctx) for name in (*option.opts, *option.secondary_opts)}
