"""SIGTERM and SIGHUP: the unfinished file is removed, and the process ends by the signal."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from attn_inject.cli.boundary import run
from attn_inject.cli.stopping import Stopped, ending_by_signal
from attn_inject.files.atomic import atomic_write
from tests.reliability.signals import ended, silent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_command_leaves_no_unfinished_file(tmp_path, number):
    target = tmp_path / "model.pt"
    target.write_bytes(b"old")
    ready, tell = os.pipe()
    pid = os.fork()
    if not pid:
        with silent(), ending_by_signal(), atomic_write(target, force=True) as file:
            file.write(b"new")
            os.write(tell, b"!")
            time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    assert len([*tmp_path.iterdir()]) == 2
    os.kill(pid, number)
    assert ended(pid) == 128 + number
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_an_ignored_signal_stays_ignored_and_the_handlers_return():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_by_signal():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_is_not_waited_for():
    pid = os.fork()
    if not pid:
        with silent(), ending_by_signal():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            except Stopped:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
        os._exit(0)
    began = time.monotonic()
    assert ended(pid) == 143
    assert time.monotonic() - began < 30


class Deaf:
    """A command in which other people's code swallows Ctrl-C."""

    def main(self, **_: object) -> int:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        return 0


def test_ctrl_c_that_other_code_swallowed_still_decides_the_exit_code(capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run(Deaf(), []) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "error: Interrupted.\n"
