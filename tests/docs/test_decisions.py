"""Decisions are all in their index, have the same four parts, and cite figures that were measured."""

import re
from pathlib import Path

import pytest
from documented import ROOT

FOLDER = ROOT / "docs" / "decisions"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
PARTS = ["Context", "Decision", "What was measured", "Consequences"]
LINK = re.compile(r"\]\(([^)#]+\.md)")
FIGURE = re.compile(r"(?<![\w.,-])\d[\d,]*\.\d+|(?<![\w.,-])\d+%")
VERSION = re.compile(r"(transformers|bubblewrap|GPTQModel) [\d.]*\d")


def parts_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"^## (.*)\n\n([\s\S]*?)(?=\n## |\Z)", text, re.M))


def unmeasured(path: Path) -> list[str]:
    """Figures of a decision that no document has to which it links beside them."""
    text = parts_of(path.read_text(encoding="utf-8"))["What was measured"]
    sources = [(path.parent / name).read_text(encoding="utf-8") for name in LINK.findall(text)]
    known = {figure for source in sources for figure in re.findall(r"\d[\d,]*\.\d+|\d+%?", source)}
    known |= {figure.removesuffix("%") for figure in known}
    return [each for each in FIGURE.findall(VERSION.sub("", text)) if each.removesuffix("%") not in known]


def test_the_index_lists_every_decision_by_its_own_title() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d{3}) \| \[(.*)\]\((.*)\) \|$", index, re.M)
    titles = [path.read_text(encoding="utf-8").partition("\n")[0] for path in DECISIONS]
    assert [f"# {int(number)}. {title}" for number, title, _ in listed] == titles
    assert [file for _, _, file in listed] == [path.name for path in DECISIONS]
    assert [path.name[:3] for path in DECISIONS] == [
        f"{number:03}" for number in range(1, len(DECISIONS) + 1)
    ]


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_four_parts_and_fits_on_a_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.M) == PARTS
    assert all(part.strip() for part in parts_of(text).values())
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_the_figures_of_a_decision_stand_where_it_says_that_they_were_measured(path: Path) -> None:
    assert LINK.search(parts_of(path.read_text(encoding="utf-8"))["What was measured"])
    assert unmeasured(path) == []


def test_a_figure_that_was_not_measured_is_seen(tmp_path: Path) -> None:
    text = DECISIONS[0].read_text(encoding="utf-8")
    for name, changed in (("true.md", text), ("false.md", text.replace("19.1", "19.7"))):
        (tmp_path / name).write_text(
            changed.replace("../results.md", str(FOLDER.parent / "results.md")), "utf-8"
        )
    assert unmeasured(tmp_path / "true.md") == []
    assert unmeasured(tmp_path / "false.md") == ["19.7"]
