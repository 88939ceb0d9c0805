"""How a zoo shows its progress: in a terminal a bar and a line per running model, else a line per model."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from attn_inject.display.escaping import printable
from attn_inject.display.numbers import plural, storage
from attn_inject.zoo.dry_run import DryRun
from attn_inject.zoo.engine import Progress
from attn_inject.zoo.record import Record
from attn_inject.zoo.text_pages import aside_lines, record_line


class Lines:
    """In a pipe: one line per finished model."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def say(self, text: str) -> None:
        """Nothing: a pipe gets results only."""

    def begin(self, dry_run: DryRun) -> None:
        """Print which files were moved aside."""
        for line in aside_lines(dry_run):
            print(printable(line), file=self._stream, flush=True)

    def progress(self, running: Sequence[Progress]) -> None:
        """Nothing."""

    def record(self, record: Record) -> Record:
        """Print a line immediately."""
        if not record.reused:
            print(printable(record_line(record)), file=self._stream, flush=True)
        return record


class Silence(Lines):
    """Nothing at all."""

    def begin(self, dry_run: DryRun) -> None:
        """Nothing."""

    def record(self, record: Record) -> Record:
        """Pass it on."""
        return record


class Screen(Lines):
    """In a terminal: one bar for the zoo, a line per running model, and a permanent line per failure."""

    def __init__(self, live: Live) -> None:
        super().__init__(sys.stderr)
        self._live = live
        self._prospect: DryRun | None = None
        self._done = self._failed = 0
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Show what happens before the first model."""
        self._live.update(Text(printable(text)))

    def begin(self, dry_run: DryRun) -> None:
        """Start the bar."""
        self._prospect = dry_run
        self._began = time.monotonic()
        for line in aside_lines(dry_run):
            self._live.console.print(Text(printable(line)))
        self.progress([])

    def progress(self, running: Sequence[Progress]) -> None:
        """Show what runs now."""
        if self._prospect is not None:
            self._live.update(Group(self._bar(len(self._prospect.to_do)), *map(_line, running)))

    def record(self, record: Record) -> Record:
        """Count it, and keep a failure on the screen."""
        if not record.reused:
            self._done += 1
            self._failed += not record.is_done
            if not record.is_done:
                self._live.console.print(Text(printable(record_line(record))))
        return record

    def _bar(self, total: int) -> Table:
        grid = Table.grid(padding=(0, 1))
        counted = f"{self._done} of {plural(total, 'output')}"
        if self._failed:
            counted += f", {self._failed} failed"
        bar = ProgressBar(total=max(1, total), completed=self._done, width=30)
        grid.add_row(bar, Text(counted), Text(self._left(total), style="dim"))
        return grid

    def _left(self, total: int) -> str:
        passed = time.monotonic() - self._began
        if not self._done:
            return _clock(passed)
        return f"{_clock(passed)}, about {_clock(passed / self._done * (total - self._done))} left"


def _line(progress: Progress) -> Text:
    memory = f"{storage(progress.memory)}, " if progress.memory else ""
    text = f"  {progress.task.label}  {progress.stage or 'starting'}  ({memory}{progress.seconds:.0f} s)"
    return Text(printable(text), no_wrap=True, overflow="ellipsis")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def watching(lines: TextIO, *, quiet: bool) -> Iterator[Lines]:
    """The watcher of a zoo: a live display in a terminal; elsewhere finished models are written to `lines`.

    Yields:
        A watcher for `run`, which also receives every record.
    """
    if quiet:
        yield Silence(sys.stderr)
    elif sys.stderr.isatty():
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        with Live(console=console, transient=True, refresh_per_second=4) as live:
            yield Screen(live)
    else:
        yield Lines(lines)
