"""Tables on narrow screens: each cell carries its column's name, so that a row can stand as a block (class `cards`)."""

import html
import re

_TABLE = re.compile(r'<table class="cards">.*?</table>', re.S)
_HEAD = re.compile(r"<thead>(.*?)</thead>", re.S)
_BODY_ROW = re.compile(r"<tr\b[^>]*>.*?</tr>", re.S)
_HEADING = re.compile(r"<th\b[^>]*>(.*?)</th>", re.S)
_CELL = re.compile(r"<(th|td)\b")
_TAG = re.compile(r"<[^>]+>")


def label_cells(page: str) -> str:
    """The page with `data-label` on every cell of its tables of class `cards`, which the style sheet shows."""
    return _TABLE.sub(lambda table: _labelled(table.group()), page)


def _labelled(table: str) -> str:
    head = _HEAD.search(table)
    if head is None:
        return table
    names = [" ".join(_TAG.sub(" ", heading).split()) for heading in _HEADING.findall(head.group(1))]

    def label_row(row: re.Match[str]) -> str:
        columns = iter(names)

        def label_cell(cell: re.Match[str]) -> str:
            name = html.escape(html.unescape(next(columns, "")), quote=True)
            return f'<td data-label="{name}"' if cell.group(1) == "td" and name else cell.group()

        return _CELL.sub(label_cell, row.group())

    return table[: head.end()] + _BODY_ROW.sub(label_row, table[head.end() :])
