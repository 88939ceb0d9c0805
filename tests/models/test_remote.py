import functools
import hashlib
import http.server
import threading

import pytest
import torch

from attn_inject.errors import FileError, UsageError
from attn_inject.models import remote
from attn_inject.models.weights_file import read_weights
from attn_inject.weights import is_address
from tests.models.nets import net


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder and the address under which a server of this machine offers it."""
    folder, kept = tmp_path / "served", torch.hub.get_dir()
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield folder, f"http://127.0.0.1:{server.server_port}", asked
    torch.hub.set_dir(kept)
    server.shutdown()
    server.server_close()


def test_an_address_is_fetched_once(served):
    folder, address, asked = served
    torch.save(net().state_dict(), folder / "w.pth")
    first = read_weights(f"{address}/w.pth?download=true")
    again = read_weights(f"{address}/w.pth?download=true")
    assert torch.equal(first.leaves["0.weight"].value, net()[0].weight)
    assert first.name == "w.pth"
    assert first.path == again.path
    assert len(asked) == 1


def test_files_of_one_name_are_not_mixed_up(served):
    folder, address, _ = served
    for classes in (2, 5):
        (folder / str(classes)).mkdir()
        torch.save(net(classes).state_dict(), folder / str(classes) / "model.pth")
    shapes = [read_weights(f"{address}/{n}/model.pth").leaves["3.weight"].value.shape[0] for n in (2, 5)]
    assert shapes == [2, 5]


@pytest.mark.parametrize("is_right", [True, False])
def test_the_digest_in_a_name_is_compared(is_right, served):
    folder, address, _ = served
    torch.save(net().state_dict(), folder / "w.pth")
    digest = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()[:8] if is_right else "0" * 8
    (folder / "w.pth").rename(folder / f"w-{digest}.pth")
    if is_right:
        assert remote.fetched(f"{address}/w-{digest}.pth").is_file()
        return
    with pytest.raises(FileError, match="invalid hash value"):
        remote.fetched(f"{address}/w-{digest}.pth")


@pytest.mark.parametrize("name", ["missing.pth", "page.pth"])
def test_what_cannot_be_had_is_told(name, served):
    folder, address, _ = served
    (folder / "page.pth").write_text("<!DOCTYPE html>Sign in")
    with pytest.raises(FileError, match=r"HTTP Error 404|is a web page") as caught:
        read_weights(f"{address}/{name}")
    assert caught.value.hint


@pytest.mark.parametrize("address", ["foo://a/b.pt", "hf-hub:resnet50"])
def test_addresses_that_name_nothing_are_refused(address):
    with pytest.raises(UsageError):
        remote.fetched(address)


@pytest.mark.parametrize("path", ["w.pt", "C:/w.pt", "a:b.pt", "./x//y.pt"])
def test_a_path_is_not_an_address(path):
    assert not is_address(path)
