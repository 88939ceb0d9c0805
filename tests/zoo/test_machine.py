from __future__ import annotations

from attn_inject.zoo import machine


def test_a_share_of_what_is_free_or_bytes(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_free", lambda: 1000)
    assert machine.memory_limit(None) == 800
    assert machine.memory_limit(0.5) == 500
    assert machine.memory_limit(123) == 123


def test_a_container_may_leave_less_than_the_machine_has(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    free = machine._free()
    assert free > 10**6
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    assert machine._free() == 10**6
    (tmp_path / "memory.max").write_text("max\n")
    assert machine._free() > 10**6


def test_there_is_a_core():
    assert machine.cores() >= 1
