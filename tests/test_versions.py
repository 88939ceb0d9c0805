import subprocess
import sys

import timm

from attn_inject import versions as module
from attn_inject.versions import PACKAGES, versions


def test_every_package_that_computes_has_its_version(monkeypatch):
    found = versions()
    assert tuple(found) == PACKAGES
    assert found["timm"] == timm.__version__
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package-anywhere",))
    assert versions() == {"no-such-package-anywhere": "not installed"}


def test_nothing_heavy_is_imported_for_it():
    program = (
        "import sys; from attn_inject.versions import versions; versions()\n"
        "assert not {'torch', 'torchvision', 'timm', 'fvcore'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
