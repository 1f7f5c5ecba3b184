"""Tables that fit the screen: headings and figures stay whole, text wraps, columns stack where they must."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2  # between columns: padding and a divider that is not seen
LEAST, LEAST_KEY = 12, 16  # of a text, and of a name: less of it tells nothing apart
WORD = 24  # of a text that is not broken; names, which people type, are whole up to half of the screen


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a `FittedTable`.

    Attributes:
        heading: broken between words where need be.
        figures: cells are figures, which are never broken but before an interval; else text, which wraps.
        key: it says what a row is about, and stands at the left again where the table is broken in blocks.
    """

    heading: str
    figures: bool = True
    key: bool = False


def names(*headings: str) -> list[Column]:
    """Columns of text that say what a row is about."""
    return [Column(heading, figures=False, key=True) for heading in headings]


def texts(*headings: str) -> list[Column]:
    """Columns of other text."""
    return [Column(heading, figures=False) for heading in headings]


def figures(*headings: str) -> list[Column]:
    """Columns of figures, or of single words."""
    return [Column(heading) for heading in headings]


@dataclass
class FittedTable:
    """A table that rich prints at whatever width there is, without cutting anything.

    In this order, as little as will do: headings are broken between words, text wraps, intervals go below
    their figure, and columns are parted into blocks that stand below each other.

    Attributes:
        columns: of which the first ones are keys.
        title, caption: above and below it.
        rows: cells of each, in the order of the columns.
    """

    columns: Sequence[Column]
    title: str = ""
    caption: str = ""
    rows: list[tuple[str | Text, ...]] = field(default_factory=list)
    _sections: set[int] = field(default_factory=set)

    def add_row(self, *cells: str | Text) -> None:
        """Add a row, one cell a column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)

    def add_section(self) -> None:
        """Part the rows that follow from those there are."""
        self._sections.add(len(self.rows) - 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich prints."""
        if self.title:
            yield Text(self.title, style="table.title", overflow="fold")
            yield Text()
        blocks, broken = _Fitting(self.columns, self.rows, options.max_width).layout()
        for widths in blocks:
            yield self._block(widths, broken)
            yield Text()
        if self.caption:
            yield Text(self.caption, style="table.caption", overflow="fold")
            yield Text()

    def _block(self, widths: dict[int, int], broken: bool) -> Table:
        shown = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for index, width in widths.items():
            column = self.columns[index]
            justify = "right" if column.figures else "left"
            shown.add_column(Text(column.heading), justify=justify, width=width, overflow="fold")  # type: ignore[arg-type]
        for number, row in enumerate(self.rows):
            cells = (self._shown(index, row[index], broken) for index in widths)
            shown.add_row(*cells, end_section=number in self._sections)
        return shown

    def _shown(self, index: int, cell: str | Text, broken: bool) -> str | Text:
        if broken and isinstance(cell, str) and self.columns[index].figures:
            return _break_interval(cell)
        return cell


@dataclass(frozen=True, slots=True)
class _Style:
    """What is broken: headings between words, text (its words up to a length kept), intervals."""

    whole_headings: bool = False
    words: int | None = None
    intervals: bool = False


class _Fitting:
    """Finds which columns stand beside each other, and how wide each is."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], room: int) -> None:
        self._columns, self._room = columns, room
        self._cells = [[_plain(row[index]) for row in rows] for index in range(len(columns))]

    def layout(self) -> tuple[list[dict[int, int]], bool]:
        """Of each block, widths by the index of the column; and whether intervals are broken."""
        half = max(WORD, self._room // 2)
        kept = [_Style(intervals=broken, words=words) for words in (half, WORD) for broken in (False, True)]
        for style in (_Style(whole_headings=True), _Style(), *kept):
            widths = {index: self._width(index, style) for index in range(len(self._columns))}
            if self._fits(widths):
                return [self._filled(widths, style)], style.intervals
        stacked = [(self._stacked(style), style) for style in kept]
        blocks, style = min(stacked, key=lambda each: (not self._holds(each[0]), len(each[0])))
        return self._aligned(blocks, style), style.intervals

    def _fits(self, widths: dict[int, int]) -> bool:
        return sum(widths.values()) + GAP * len(widths) - 1 <= self._room

    def _width(self, index: int, style: _Style) -> int:
        column, cells = self._columns[index], self._cells[index]
        parts = [column.heading] if style.whole_headings else column.heading.split()
        heading = _lines_widest(parts)
        if column.figures:
            return max(heading, _lines_widest(map(_break_interval, cells) if style.intervals else cells))
        natural = max(heading, _lines_widest(cells))
        if style.words is None:
            return natural
        words = min(
            _widest(word for cell in cells for word in cell.split()), style.words if column.key else WORD
        )
        return min(natural, max(LEAST_KEY if column.key else LEAST, heading, words))

    def _filled(self, widths: dict[int, int], style: _Style) -> dict[int, int]:
        """Room that is left over goes to text that wraps, to each as it needs it."""
        spare = self._room - sum(widths.values()) - GAP * len(widths) + 1
        unbroken = _Style(style.whole_headings)
        wants = {
            index: self._width(index, unbroken) - width
            for index, width in widths.items()
            if not self._columns[index].figures
        }
        wanted = sum(wants.values())
        share = min(1.0, max(spare, 0) / wanted) if wanted else 0.0
        return {index: width + int(share * wants.get(index, 0)) for index, width in widths.items()}

    def _stacked(self, style: _Style) -> list[dict[int, int]]:
        """Blocks below each other, the keys at the left of each."""
        widths = {index: self._width(index, style) for index in range(len(self._columns))}
        keys = [index for index in widths if self._columns[index].key]
        others = [index for index in widths if not self._columns[index].key]
        widest = max((widths[index] for index in others), default=0)
        left = {index: widths[index] for index in keys}
        spare = self._room - widest - GAP * (len(keys) + 1) + 1
        if sum(left.values()) > spare:  # a very narrow screen: names are folded first, and then anything
            total, spare = sum(left.values()), max(spare, 4 * len(keys))
            left = {index: max(1, width * spare // total) for index, width in left.items()}
        blocks: list[dict[int, int]] = []
        for index in others:
            width = min(widths[index], max(1, self._room - sum(left.values()) - GAP * len(left) - 1))
            if not blocks or not self._fits(blocks[-1] | {index: width}):
                blocks.append(dict(left))
            blocks[-1][index] = width
        return blocks or [left]

    def _holds(self, blocks: list[dict[int, int]]) -> bool:
        """Whether no figure is narrower than it is, and no name than it should be."""
        least = _Style(words=WORD, intervals=True)
        return all(width >= self._width(index, least) for block in blocks for index, width in block.items())

    def _aligned(self, blocks: list[dict[int, int]], style: _Style) -> list[dict[int, int]]:
        """The blocks with what is left over given to their text, keys as wide in each."""
        filled = [self._filled(block, style) for block in blocks]
        keys = [index for index in filled[0] if self._columns[index].key]
        least = {index: min(block[index] for block in filled) for index in keys}
        return [block | least for block in filled]


def _plain(cell: str | Text) -> str:
    return cell if isinstance(cell, str) else cell.plain


def _break_interval(cell: str) -> str:
    return cell.replace(" (", "\n(")


def _widest(parts: Iterable[str]) -> int:
    return max(map(cell_len, parts), default=0)


def _lines_widest(cells: Iterable[str]) -> int:
    return _widest(line for cell in cells for line in cell.split("\n"))
