"""The files about the project agree with it, and forges can read them."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from attn_inject.versions import VERSION

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "docs" / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == VERSION
    assert cited["title"] == PROJECT["name"]
    assert cited["license"] == PROJECT["license"]
    assert [author["name"] for author in cited["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    assert {"message", "abstract", "type"} <= cited.keys()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_for_issues_is_complete(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert content["name"]
    assert content["description"]
    kinds = {item["type"] for item in content["body"]}
    assert kinds <= {"input", "textarea", "dropdown", "checkboxes", "markdown"}
    names = [item["id"] for item in content["body"]]
    assert len(set(names)) == len(names)
    assert all(item["attributes"]["label"] for item in content["body"])
    assert any(item.get("validations", {}).get("required") for item in content["body"])


def test_there_is_a_form():
    assert FORMS


def test_the_metadata_of_the_package_is_complete():
    assert {"description", "readme", "license", "authors", "keywords", "classifiers"} <= PROJECT.keys()
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {oldest}" in PROJECT["classifiers"]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_links_of_the_project_files_lead_somewhere(name):
    file = ROOT / ".github" / name
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text(encoding="utf-8"))
    assert links
    assert all((file.parent / link).exists() for link in links)
