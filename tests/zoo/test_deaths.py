from __future__ import annotations

import pytest

from attn_inject.zoo.deaths import explain


@pytest.mark.parametrize(
    ("exit_code", "memory", "code", "told"),
    [
        (-9, 2 * 10**9, "memory", "because memory ran out. It held 2.00 GB"),
        (-9, 0, "memory", "killed from outside"),
        (-11, 0, "crash", "signal 11 (SIGSEGV)"),
        (-99, 0, "crash", "signal 99"),
        (3, 0, "crash", "exit code 3"),
        (255, 0, "crash", "disappeared"),
        (None, 0, "crash", "disappeared"),
    ],
)
def test_an_exit_code_in_words(exit_code, memory, code, told):
    failure = explain(exit_code, "", memory)
    assert failure.code == code
    assert told in failure.message


def test_the_last_words_are_kept_and_lists_of_libraries_are_not():
    printed = (
        "x" * 5000 + "Fatal Python error: Segmentation fault\n  File a.py\n\nExtension modules: numpy, torch"
    )
    words = explain(-11, printed, 0).detail
    assert words.endswith("Segmentation fault\n  File a.py")
    assert len(words) <= 2000
