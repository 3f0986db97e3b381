# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The chart: bars of every contestant beside sing-box, written as SVG by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from xml.sax.saxutils import escape

from bench.report import Result
from bench.rows import SING_BOX, Metric

_COLOURS = {
    "direct": "#b0b0b0",
    "ugate": "#d62728",
    "sing-box": "#1f77b4",
    "envoy": "#9467bd",
    "haproxy": "#2ca02c",
    "microsocks": "#ff7f0e",
}
_OTHER = "#17becf"
_LEFT, _WIDTH, _RIGHT = 260, 520, 150
_BAR, _GAP, _TOP = 12, 14, 64
_CAPTION = 150
_MOST = 3.0
_STEPS = 6
_HALO = ' paint-order="stroke" stroke="white" stroke-width="3"'
_GOAL = 'stroke="#d62728" stroke-width="2" stroke-dasharray="3 2"'


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 11, more: str = "") -> str:
    """
    @return: a text element.
    """
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}"{more}>{escape(words)}</text>'


def _line(x: float, top: float, bottom: float, style: str) -> str:
    """
    @return: an upright line.
    """
    return f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" {style}/>'


def _at(ratio: float) -> float:
    """
    @param ratio: a multiple of sing-box's figure.
    @return: how far to the right it is drawn; what is beyond the scale is drawn at its end.
    """
    return _LEFT + min(ratio, _MOST) / _MOST * _WIDTH


def _group(result: Result, metric: Metric, columns: Mapping[str, str], y: float) -> tuple[list[str], float]:
    """
    Draw one metric.

    @param result: the samples.
    @param metric: which.
    @param columns: each contestant's heading by its name.
    @param y: where it begins.
    @return: the elements, and where it ends.
    """
    parts, labels, top = list[str](), list[str](), y
    for name in columns:
        ratio, median = result.ratio(metric.key, name, SING_BOX), result.median(metric.key, name)
        if ratio is None or median is None:
            continue
        end, colour = _at(ratio.median), _COLOURS.get(name, _OTHER)
        parts.append(
            f'<rect x="{_LEFT}" y="{y:.1f}" width="{end - _LEFT:.1f}" height="{_BAR - 2}" fill="{colour}"/>'
        )
        beyond = " \u2192" if ratio.median > _MOST else ""
        label = f"{ratio.median:.2f}{beyond}  ({median:.{metric.digits}f} {metric.unit})"
        labels.append(_text(end + 4, y + _BAR - 3, label, size=9, more=_HALO))
        y += _BAR
    if not parts:
        return [], y
    note = "less is better" if metric.lessIsBetter else ""
    parts.append(_text(_LEFT - 8, (top + y) / 2 + 2, metric.title, "end"))
    parts.append(_text(_LEFT - 8, (top + y) / 2 + 13, note, "end", 9))
    for goal in metric.goals:
        if goal.peer == SING_BOX:
            parts.append(
                _line(
                    _at(goal.factor),
                    top - 3,
                    y + 1,
                    _GOAL,
                )
            )
    return [*parts, *labels], y + _GAP


def _legend(columns: Mapping[str, str]) -> list[str]:
    """
    @param columns: each contestant's heading by its name.
    @return: the elements that say which colour is whose.
    """
    parts, x = [], float(_LEFT)
    for name, heading in columns.items():
        parts.append(f'<rect x="{x:.1f}" y="30" width="10" height="10" fill="{_COLOURS.get(name, _OTHER)}"/>')
        parts.append(_text(x + 14, 39, heading))
        x += 26 + 7 * len(heading)
    return parts


def chart(result: Result, metrics: Sequence[Metric], columns: Mapping[str, str], caption: str) -> str:
    """
    Draw a run.

    @param result: the samples.
    @param metrics: what to show, in order.
    @param columns: each contestant's heading by its name.
    @param caption: a line for the bottom: the machine, the date.
    @return: an SVG document.
    """
    body, y = _legend(columns), float(_TOP)
    for metric in metrics:
        parts, y = _group(result, metric, columns, y)
        body += parts
    grid = []
    for step in range(_STEPS + 1):
        value = step * _MOST / _STEPS
        colour = "#404040" if value == 1.0 else "#e0e0e0"
        grid.append(_line(_at(value), _TOP - 8, y - _GAP / 2, f'stroke="{colour}"'))
        grid.append(_text(_at(value), _TOP - 11, f"{value:g}", "middle", 9))
    bottom = y
    for line in wrap(caption, _CAPTION):
        bottom += 13
        body.append(_text(10, bottom, line, size=9))
    title = _text(
        10, 18, "Multiples of sing-box's figure, medians of one run (dashed: ugate's goal)", size=14
    )
    width, height = _LEFT + _WIDTH + _RIGHT, bottom + 10
    size = f'width="{width}" height="{height:.0f}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height:.0f}"'
    lines = [
        f'{opening} font-family="sans-serif">',
        f'<rect {size} fill="white"/>',
        title,
        *grid,
        *body,
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"
