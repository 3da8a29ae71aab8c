"""A table that a notebook displays."""

import html
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table that a notebook displays, narrow enough for a phone.

    Attributes:
        title: above the table.
        header: the names of the columns.
        sections: headings, each with its rows; of a cell, the second line is set smaller.
        note: below the table; code stands between backticks.
        sortable: whether a click on the head of a column sorts by the first lines of its cells.
    """

    title: str
    header: tuple[str, ...]
    sections: dict[str, list[tuple[str, ...]]]
    note: str = ""
    sortable: bool = False

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The rows of all sections."""
        return [row for rows in self.sections.values() for row in rows]

    def __repr__(self) -> str:
        lines = [self.title, " | ".join(self.header)]
        for heading, rows in self.sections.items():
            lines += [heading] if heading else []
            lines += [" | ".join(cell.replace("\n", "; ") for cell in row) for row in rows]
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        def cell(text: str) -> str:
            first, _, second = (html.escape(part) for part in text.partition("\n"))
            key = f' data-sort="{first.replace(",", "")}"' if self.sortable else ""
            for sign in (" = ", "± "):  # "m = 3" and "± 0.2" stay in one line
                first = first.replace(sign, sign.replace(" ", "&nbsp;"))
            return f"<td{key}>{first}{second and f'<br><small>{second}</small>'}</td>"

        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.header)
        names = "table results" + (" sortable" if self.sortable else "")
        parts = [f'<table class="{names}"><caption>{html.escape(self.title)}</caption>']
        parts.append(f"<thead><tr>{head}</tr></thead>")
        for heading, rows in self.sections.items():
            parts.append("<tbody>")
            if heading:
                span = f'<th scope="rowgroup" colspan="{len(self.header)}">'
                parts.append(f"<tr>{span}{html.escape(heading)}</th></tr>")
            parts += [f"<tr>{''.join(map(cell, row))}</tr>" for row in rows]
            parts.append("</tbody>")
        parts.append("</table>")
        if self.note:
            note = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.note))
            parts.append(f'<p class="note">{note}</p>')
        return "\n".join(parts)
