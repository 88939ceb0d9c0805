"""Runs everything that a page shows: commands in a shell, snippets in Python, files.

Commands of attn-inject run in this process, in the page's own folder, with the import path that a console
script has. What a stranger's shell shows is what is compared: stdout and stderr together, and `echo $?`.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_inject.attention import registry
from attn_inject.cli.main import main
from tests.docs.pages import Block, blocks, name_of

# `.ci/run` runs these in an environment of their own.
SET_UP = re.compile(r"pip install (\.|-e '\.\[dev\]')|pytest")


@dataclass(frozen=True)
class Shown:
    """Something that a page says is printed, and what was.

    Attributes:
        page: The file.
        line: Number of the first line of what is shown, from 1.
        what: The command.
        expected: As the page shows it; `...` stands for what may differ.
        printed: As it was printed.
    """

    page: Path
    line: int
    what: str
    expected: str
    printed: str

    @property
    def is_true(self) -> bool:
        return agrees(self.expected, self.printed)


class Session:
    """One reader of one page; `folder` is empty and becomes the current one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.installed: list[str] = []
        self.exit_code = 0
        self.printed = ""

    def close(self) -> None:
        """Forget what was installed."""
        self._take_own_modules()
        registry.refresh()

    def follow(self, block: Block) -> list[Shown]:
        """Do what one block says, and return everything that it shows.

        Raises:
            ValueError: The block is of no kind that can be executed.
        """
        if block.language == "text":
            return self._compare(block)
        if block.title:
            self._write_file(block)
        elif block.language == "python":
            self._run_python(block)
        elif block.language == "bash":
            self._run_commands(block)
        elif block.language == "console":
            return self._type(block)
        else:
            raise ValueError(f"{block.place}: nothing executes a {block.language!r} block")
        return []

    def _compare(self, block: Block) -> list[Shown]:
        if block.title != "output":
            return []
        return [Shown(block.page, block.line, "the block before", block.text, self.printed)]

    def _write_file(self, block: Block) -> None:
        path = self.folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def _run_python(self, block: Block) -> None:
        lines = "\n" * (block.line - 1)  # so that a traceback names the page's own line
        code = compile(lines + block.text, str(block.page), "exec")
        out = io.StringIO()
        with self._in_folder([str(self.folder), *self.installed]), redirect_stdout(out):
            exec(code, self.namespace)
        self.printed = out.getvalue()

    def _run_commands(self, block: Block) -> None:
        self.printed = ""
        for command in re.split(r" && |\n", block.text.strip()):
            if not SET_UP.fullmatch(command):
                self.printed += self._run(command, block.place)
                if self.exit_code != 0:
                    raise ValueError(f"{block.place}: {command} ended with {self.exit_code}\n{self.printed}")

    def _type(self, block: Block) -> list[Shown]:
        shown: list[Shown] = []
        line = block.line
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            if command != "echo $?":
                self._require_success(block, shown)
            printed = self._run(command, block.place)
            shown.append(Shown(block.page, line + 1, command, expected, printed))
            line += part.count("\n")
        self._require_success(block, shown)
        return shown

    def _require_success(self, block: Block, shown: list[Shown]) -> None:
        """A page that shows a failing command shows its exit code, too."""
        if self.exit_code != 0:
            raise ValueError(f"{block.place}: exit code {self.exit_code} is not shown\n{shown[-1].printed}")

    def _run(self, command: str, place: str) -> str:
        words = shlex.split(command)
        if command == "echo $?":
            told, self.exit_code = f"{self.exit_code}\n", 0
            return told
        if command == "pip install -e .":
            self._install()
            return ""
        if words[0] != "attn-inject":
            raise ValueError(f"{place}: nothing executes {command!r}")
        out = io.StringIO()
        with self._in_folder(self.installed), self._new_process(), redirect_stdout(out), redirect_stderr(out):
            self.exit_code = main(words[1:])
        return out.getvalue()

    def _install(self) -> None:
        """What pip makes of the folder's pyproject.toml: the folder on the path, and its metadata."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        target = self.folder / ".site-packages"
        info = target / f"{project['name']}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        groups = project.get("entry-points", {}).items()
        points = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in rows.items())
            for group, rows in groups
        )
        (info / "entry_points.txt").write_text("\n".join(points))
        self.installed = [str(target), str(self.folder)]
        registry.refresh()

    @contextmanager
    def _in_folder(self, paths: list[str]) -> Iterator[None]:
        """The page's folder is the current one, and `paths` stand before what can be imported anyway."""
        path, current = list(sys.path), os.getcwd()
        sys.path[:] = [*paths, *(entry for entry in path if entry not in ("", str(self.folder)))]
        os.chdir(self.folder)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path[:] = path
            os.chdir(current)

    @contextmanager
    def _new_process(self) -> Iterator[None]:
        """As in a process of its own, the folder's modules are imported anew, and forgotten afterwards."""
        kept = self._take_own_modules()
        try:
            yield
        finally:
            self._take_own_modules()
            sys.modules.update(kept)

    def _take_own_modules(self) -> dict[str, Any]:
        own = [
            name
            for name, module in sys.modules.items()
            if str(getattr(module, "__file__", None) or "").startswith(f"{self.folder}{os.sep}")
        ]
        return {name: sys.modules.pop(name) for name in own}


def untrue(page: Path, session: Session) -> str:
    """What a page shows and what is printed instead, as text; "" for a page that is true."""
    wrong = [shown for block in blocks(page) for shown in session.follow(block) if not shown.is_true]
    return "\n\n".join(map(_difference, wrong))


def _difference(shown: Shown) -> str:
    lines = difflib.unified_diff(
        shown.expected.splitlines(), shown.printed.splitlines(), "shown", "printed", lineterm="", n=1
    )
    return f"{name_of(shown.page)}:{shown.line}: {shown.what}\n" + "\n".join(lines)


def agrees(expected: str, printed: str) -> bool:
    """Whether a page shows what was printed; `...` stands for the rest of a line, or alone for any lines."""
    pattern = ""
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("...")) + r"\n"
    text = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, text) is not None
