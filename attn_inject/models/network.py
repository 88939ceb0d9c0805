"""Whether a server can be reached, found out at once: libraries retry for a minute before they say so."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_PATIENCE = 1.5  # seconds
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def is_reachable(address: str) -> bool:
    """Whether the host of an address accepts connections; behind a proxy this is taken for granted."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    parts = urlsplit(address)
    answered: list[bool] = []
    place = (parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))
    # A name that nobody resolves may take longer than any timeout of a socket.
    asking = threading.Thread(target=_ask, args=(place, answered), daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return bool(answered)


def _ask(place: tuple[str, int], answered: list[bool]) -> None:
    try:
        socket.create_connection(place, timeout=_PATIENCE).close()
    except OSError:
        return
    answered.append(True)


def hub() -> str:
    """The address of the Hugging Face Hub."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


@contextmanager
def without_retries(address: str) -> Iterator[bool]:
    """Within, the hub's library answers from its cache alone if `address` is out of reach.

    Yields:
        Whether it can be reached.
    """
    from huggingface_hub import constants

    reachable = constants.HF_HUB_OFFLINE or is_reachable(address)
    kept, log = constants.HF_HUB_OFFLINE, logging.getLogger("huggingface_hub")
    level = log.level
    try:
        if not reachable:
            constants.HF_HUB_OFFLINE = True
            log.setLevel(logging.CRITICAL)
        yield reachable and not kept
    finally:
        constants.HF_HUB_OFFLINE = kept
        log.setLevel(level)
