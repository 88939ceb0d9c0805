"""What one thread replaces, no other thread sees, and afterwards everything is as it was."""

import threading

import pytest

from attn_inject.models.thread_patch import replaced_here


class Owner:
    def plain(self):
        return "theirs"

    @classmethod
    def whole(cls):
        return f"theirs of {cls.__name__}"

    @property
    def shown(self):
        return "theirs"


class Heir(Owner):
    pass


REPLACED = {
    "plain": (lambda self: "ours", lambda: Owner().plain(), "ours"),
    "whole": (classmethod(lambda cls: f"ours of {cls.__name__}"), lambda: Heir.whole(), "ours of Heir"),
    "shown": (property(lambda self: "ours"), lambda: Owner().shown, "ours"),
}


def in_another_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("name", REPLACED)
def test_only_this_thread_sees_it(name):
    value, ask, ours = REPLACED[name]
    before, theirs = vars(Owner)[name], ask()
    with replaced_here(Owner, name, value):
        assert ask() == ours
        assert in_another_thread(ask) == theirs
    assert ask() == theirs
    assert vars(Owner)[name] is before


def test_two_threads_that_overlap_leave_the_original():
    before = vars(Owner)["plain"]
    entered, leave = threading.Event(), threading.Event()

    def other():
        with replaced_here(Owner, "plain", lambda self: "the other's"):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
    with replaced_here(Owner, "plain", lambda self: "ours"):
        leave.set()
        thread.join()
        assert Owner().plain() == "ours"
    assert vars(Owner)["plain"] is before


def test_replacements_nest_and_an_error_restores():
    before = vars(Owner)["plain"]
    with replaced_here(Owner, "plain", lambda self: "outer"):
        with pytest.raises(KeyError), replaced_here(Owner, "plain", lambda self: {}["inner"]):
            Owner().plain()
        assert Owner().plain() == "outer"
    assert vars(Owner)["plain"] is before
