import pytest

from tests.docs.session import Session


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A reader in an empty folder, whose shell shows no colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    session = Session(tmp_path)
    yield session
    session.close()
