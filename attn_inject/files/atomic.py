"""Atomic writes: at any moment the file is the old one or the complete new one.

The bytes go to a hidden file beside the target, which is renamed into place when it is complete and on disk.
The writer holds a lock on the hidden file, and the lock ends with the process: a hidden file that can be
locked comes from a killed run, and the next run for the same target removes it. (A process id in its name
would not work: ids are reused, and mean nothing in another container on the same disk.)
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from attn_inject.errors import FileError

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

_Path = str | os.PathLike[str]


@contextmanager
def atomic_write(
    path: _Path, *, force: bool = False, before_publishing: Callable[[Path], None] | None = None
) -> Iterator[BinaryIO]:
    """A file object whose content becomes `path` when the block ends without an exception.

    A symbolic link is followed. The permissions of a replaced file are kept.

    Args:
        path: The target.
        force: Whether an existing file may be replaced.
        before_publishing: Called with the complete hidden file; if it raises, the target is unchanged.

    Raises:
        FileError: The target exists, is not a file, or cannot be written; it is unchanged.
    """
    target = check_writable(path, force=force)
    _sweep(target)
    with _reporting(target):
        hidden, file = _create(target)
    writer = _Remembering(file)
    try:
        yield cast(BinaryIO, writer)
    except BaseException as error:
        _discard(hidden, file)
        # torch.save turns errors of a write, even Ctrl-C, into a RuntimeError without a cause.
        if isinstance(writer.failure, OSError):
            raise unwritable(target, writer.failure) from error
        if writer.failure is not None and writer.failure is not error:
            raise writer.failure from error
        raise
    try:
        with _reporting(target):
            file.flush()
            os.fsync(file.fileno())
        if before_publishing is not None:
            before_publishing(hidden)
        with _reporting(target):
            publish(hidden, target, force=force)
    finally:
        _discard(hidden, file)
    _sync_folder(target.parent)


def check_writable(path: _Path, *, force: bool = False) -> Path:
    """Find out before long work whether `atomic_write` would refuse a target.

    Returns:
        The file that will be written, after following symbolic links.

    Raises:
        FileError: It exists and `force` is not set, is not a regular file, or its folder does not exist or
            may not be written to.
    """
    with _reporting(path):
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise FileError(f"{path} is a folder.", hint="Name a file in it, for example model.pt.")
        if target.exists() and not target.is_file():
            raise FileError(f"{path} is not a regular file.", hint="Name another file.")
        check_parent(target.parent, path)
        if target.exists() and not force:
            raise already_there(target)
    return target


def check_parent(folder: Path, path: _Path) -> None:
    """Find out whether something can be made in a folder.

    Args:
        folder: Where `path` will be.
        path: The target, as the user calls it.

    Raises:
        FileError: The folder does not exist, is a file or may not be written to.
    """
    for above in (folder, *folder.parents):
        if above.exists() and not above.is_dir():
            raise FileError(f"{path} cannot be written: {above} is a file.", hint="Name another folder.")
    if not folder.exists():
        raise FileError(
            f"{path} cannot be written: the folder {folder} does not exist.",
            hint=f"Make it first: mkdir -p {shlex.quote(str(folder))}",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(
            f"{path} cannot be written: no permission to write in {folder}.", hint="Name another folder."
        )


class _Remembering:
    """Passes calls to a file and stores the first error."""

    def __init__(self, file: BinaryIO) -> None:
        self.failure: BaseException | None = None
        self._file = file

    def write(self, data: Any) -> int:
        with self._watched():
            return self._file.write(data)

    def flush(self) -> None:
        with self._watched():
            self._file.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.failure = self.failure or error
            raise


def hidden_prefix(target: Path) -> str:
    """Of the names of hidden files for one target; a digest, since a long name leaves no room for more."""
    return f".attn-inject-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


def _create(target: Path) -> tuple[Path, BinaryIO]:
    """A new hidden file, locked."""
    while True:
        hidden = target.with_name(f"{hidden_prefix(target)}{secrets.token_hex(8)}.tmp")
        # os.open respects the umask, unlike tempfile.
        file = os.fdopen(os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "wb")
        # Before it was locked, another run may have removed the file as a leftover.
        with contextlib.suppress(BlockingIOError):
            lock(file)
            if hidden.exists():
                return hidden, file
        file.close()


def lock(file: IO[bytes] | int) -> bool:
    """Lock an open file or folder until it is closed or the process ends; False if files cannot be locked.

    Raises:
        BlockingIOError: Another process has locked it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _sweep(target: Path) -> None:
    """Remove what killed runs left behind for this target."""
    for hidden in target.parent.glob(f"{hidden_prefix(target)}*.tmp"):
        with contextlib.suppress(OSError), open(hidden, "r+b") as file:
            if lock(file):
                hidden.unlink()


def publish(hidden: Path, target: Path, *, force: bool) -> None:
    """Rename a complete file to its target.

    Args:
        hidden: The file; afterwards it does not exist, or, without `force`, is another name of the target.
        target: The target, not a link.
        force: Whether an existing file may be replaced.

    Raises:
        FileError: The target exists, and `force` is not set.
        OSError: Renaming fails.
    """
    if force:
        if target.exists():
            hidden.chmod(stat.S_IMODE(target.stat().st_mode))
        hidden.replace(target)
        return
    try:
        # Unlike a rename, a link never replaces what another run wrote in the meantime.
        os.link(hidden, target)
    except FileExistsError:
        raise already_there(target) from None
    except OSError:  # a disk without links
        if target.exists():
            raise already_there(target) from None
        hidden.replace(target)


def _discard(hidden: Path, file: BinaryIO) -> None:
    with contextlib.suppress(OSError):
        hidden.unlink()
    # Closing flushes again, which fails again on a full disk.
    with contextlib.suppress(OSError):
        file.close()


def _sync_folder(folder: Path) -> None:
    """Write the new name to disk, so that a power cut does not lose it; not every system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _reporting(target: _Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(target, error) from error


def unwritable(target: _Path, error: OSError) -> FileError:
    """For a target that the system refuses."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = "Free some space or name another folder; no partial file is left."
    else:
        hint = "Name another file or folder; no partial file is left."
    return FileError(f"{target} cannot be written: {reason}.", hint=hint)


def already_there(target: _Path) -> FileError:
    """For a target that exists."""
    return FileError(f"{target} exists already.", hint="Use --force to replace it, or name another file.")
