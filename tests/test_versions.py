import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import timm

import attn_inject
from attn_inject import versions as module
from attn_inject.versions import PACKAGES, versions


def test_every_package_that_computes_has_its_version(monkeypatch):
    found = versions()
    assert tuple(found) == PACKAGES
    assert found["timm"] == timm.__version__
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package-anywhere",))
    assert versions() == {"no-such-package-anywhere": "not installed"}


def test_our_own_version_is_that_of_the_code_even_where_it_is_not_installed(monkeypatch):
    def version(package):
        if package == "attn-inject":
            raise metadata.PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    assert versions()["attn-inject"] == attn_inject.__version__


def test_the_package_is_built_with_the_version_of_the_code():
    root = Path(attn_inject.__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert root / project["tool"]["hatch"]["version"]["path"] == Path(module.__file__)


def test_nothing_heavy_is_imported_for_it():
    program = (
        "import sys; from attn_inject.versions import versions; versions()\n"
        "assert not {'torch', 'torchvision', 'timm', 'fvcore'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
