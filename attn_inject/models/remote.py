"""Weights from an address: fetched once by the library that does this, and then read as a local file."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from attn_inject.errors import FileError, UsageError
from attn_inject.models.library_errors import one_line
from attn_inject.models.network import hub, without_retries

_PATIENCE = 10.0  # seconds for the first answer of a server
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# torch's convention: NAME-HASH.pth is compared with the beginning of its SHA-256.
_HASH = re.compile(r"-([a-f0-9]{8,})\.[^.]+$")
_OFFLINE = "Without a network, copy the file and pass its path: --weights FILE."


def fetched(address: str) -> Path:
    """A local copy of what an address names; it is kept, and fetched only once.

    `https://` goes through torch.hub, `hf-hub:ORG/NAME[/FILE]` through huggingface_hub, and everything else
    that fsspec knows, such as `s3://`, through fsspec.

    Raises:
        FileError: It cannot be fetched.
        UsageError: No library knows this kind of address.
    """
    if address.startswith(("hf-hub:", "hf://")):
        return _from_hub(re.sub(r"^(hf-hub:|hf://)", "", address), address)
    if address.startswith(("https://", "http://")):
        return _from_web(address)
    return _from_store(address)


def _from_web(address: str) -> Path:
    import torch

    name = os.path.basename(unquote(urlsplit(address).path)) or "weights"
    # Many files are called model.pth, and torch.hub itself would mix them up.
    folder = Path(torch.hub.get_dir()) / "attn_inject" / hashlib.sha256(address.encode()).hexdigest()[:16]
    target = folder / name
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    given = _HASH.search(name)
    try:
        with _patience():
            torch.hub.download_url_to_file(address, str(target), given[1] if given else None, progress=False)
    except Exception as error:
        raise _unreachable(address, error) from error
    return target


def _from_hub(name: str, address: str) -> Path:
    import huggingface_hub

    repository, _, revision = name.partition("@")
    org, _, rest = repository.partition("/")
    own, _, file = rest.partition("/")
    if not own:
        raise UsageError(
            f"{address!r} names no repository.", hint="Write hf-hub:ORG/NAME or hf-hub:ORG/NAME/FILE."
        )
    error: Exception | None = None
    for candidate in [file] if file else _HUB_FILES:
        try:
            with _patience(), without_retries(hub()):
                return Path(
                    huggingface_hub.hf_hub_download(f"{org}/{own}", candidate, revision=revision or None)
                )
        except Exception as failure:
            error = failure
            if "EntryNotFound" not in type(failure).__name__:
                break
    assert error is not None
    raise _unreachable(address, error) from error


def _from_store(address: str) -> Path:
    import fsspec
    import torch

    scheme = address.partition("://")[0]
    if scheme not in fsspec.available_protocols():
        raise UsageError(
            f"{address!r} is an address of an unknown kind.", hint="Use https://, hf-hub: or s3://."
        )
    cache = str(Path(torch.hub.get_dir()) / "attn_inject" / "stores")
    try:
        local = fsspec.open_local(f"filecache::{address}", filecache={"cache_storage": cache})
    except Exception as error:
        raise _unreachable(address, error) from error
    return Path(local if isinstance(local, str) else local[0])


@contextmanager
def _patience() -> Iterator[None]:
    """A server that does not answer is given up after a while."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unreachable(address: str, error: Exception) -> FileError:
    return FileError(f"{address} cannot be fetched: {one_line(error)}.", hint=_OFFLINE)
