"""Project pages: one version everywhere, forms and workflows that can be read, commands that exist."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_version_is_one():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[([\d.]+)\]", changelog, re.MULTILINE)[1] == PROJECT["version"]
    assert read(ROOT / "CITATION.cff")["version"] == PROJECT["version"]
    assert f"molrate-{PROJECT['version']}-py3" in (ROOT / "docs" / "release.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository: nothing says what is tracked")
def test_the_source_package_has_what_is_tracked_and_nothing_else():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {path.split("/")[0] for path in tracked.splitlines()}
    named = SETTINGS["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert sorted(named) == sorted(name for name in names if not name.startswith("."))


def test_the_citation_has_what_the_format_asks_for():
    # By cffconvert, whose dependencies do not go with ours, it was valid when it was written.
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "title", "message", "authors", "license"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == [
        "Huang",
        "Huang",
        "Rong",
        "Yang",
        "Wei",
    ]
    assert "2106.09362" in paper["url"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_make_targets_on_the_supported_versions(path):
    workflow = read(path)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    # YAML reads the key "on" as true.
    assert {"name", "jobs", True} <= set(workflow)
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    for run in runs:
        if run.startswith("make "):
            assert run.removeprefix("make ") in targets
        elif run.startswith("bash "):
            assert (ROOT / run.removeprefix("bash ")).is_file()
        else:
            assert run.startswith(("pip install dist/", "molrate "))
    for job in workflow["jobs"].values():
        versions = job.get("strategy", {}).get("matrix", {}).get("python")
        assert versions in (None, ["3.11", "3.12", "3.13", "3.14"])
        if versions:
            assert PROJECT["requires-python"] == f">={versions[0]}"


def test_there_is_a_workflow_for_each_purpose():
    assert [path.stem for path in WORKFLOWS] == ["docs", "lint", "tests", "wheels"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_the_format_asks_for(path):
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    identifiers = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(identifiers) == len(set(identifiers))
    for part in form["body"]:
        assert part["type"] in {"checkboxes", "dropdown", "input", "markdown", "textarea"}
        assert part["attributes"].get("label") or part["type"] == "markdown"


def test_an_encoder_request_asks_for_what_a_card_holds():
    identifiers = {part["id"] for part in read(ROOT / ".github" / "ISSUE_TEMPLATE" / "encoder.yml")["body"]}
    assert {
        "name",
        "source",
        "sha256",
        "licence",
        "citation",
        "input",
        "pretraining",
        "labels",
    } <= identifiers


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "docs/release.md"])
def test_links_of_project_pages_lead_somewhere(name):
    path = ROOT / name
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert all((path.parent / link).exists() for link in links)
