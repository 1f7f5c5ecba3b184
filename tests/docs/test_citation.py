"""CITATION.cff and the changelog are of this version, and cite the papers whose methods are here."""

import datetime
import re
import tomllib

import documented
import yaml
from documented import ROOT

from specdec_cli import __version__

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PAPERS = {"2406.02532", "2411.05289", "2302.01318", "2502.01662", "2412.07380"}


def releases(changelog: str) -> list[tuple[str, str]]:
    """Versions of a changelog and their dates, the latest first."""
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", changelog, re.M)


def test_the_latest_release_of_the_changelog_is_this_version_and_the_one_cited() -> None:
    version, date = releases(CHANGELOG)[0]
    assert version == __version__ == CITATION["version"]
    assert datetime.date.fromisoformat(date) == CITATION["date-released"]


def test_there_is_room_above_the_latest_release_for_what_comes_next() -> None:
    first, second = re.findall(r"^## (.*)$", documented.newest(CHANGELOG), re.M)[:2]
    assert (first, second.partition(" ")[0]) == ("[Unreleased]", f"[{__version__}]")


def test_the_licence_is_the_package_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert CITATION["license"] == project["license"]


def test_the_papers_are_cited_that_the_code_names() -> None:
    cited = {each["url"].rpartition("/")[2]: each for each in CITATION["references"]}
    assert cited.keys() == PAPERS
    named = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "specdec_cli").rglob("*.py"))
    for number, paper in cited.items():
        assert f"arxiv.org/abs/{number}" in named
        assert f"{paper['authors'][0]['family-names']} et al." in named
