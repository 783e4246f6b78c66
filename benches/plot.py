#!/usr/bin/env python3
"""Draws columns of a CSV over its first one as an SVG, one panel for each group of columns.

usage: plot.py TITLE COLUMN[,COLUMN...] [COLUMN,...] <figures.csv >plot.svg
"""

import csv
import sys

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 720, 170, 64, 20, 40, 46
COLOURS = ["#1f5fa8", "#c2571a", "#3d7a3d", "#8a3d8a"]


def ticks(most):
    """Round figures from zero to the largest, five at most."""
    step = 1
    while most / step > 5:
        step *= 2.5 if str(step)[0] == "2" else 2
    return [step * count for count in range(int(most / step) + 1)]


def main():
    title, groups = sys.argv[1], [group.split(",") for group in sys.argv[2:]]
    rows = list(csv.DictReader(sys.stdin))
    first = next(iter(rows[0]))
    xs = [float(row[first]) for row in rows]
    height = TOP + len(groups) * (PANEL + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="{LEFT}" y="22" font-size="14">{title}</text>',
    ]
    for number, group in enumerate(groups):
        top = TOP + number * (PANEL + GAP)
        most = max(max(float(row[column]) for row in rows) for column in group) or 1
        across = lambda x: LEFT + (WIDTH - LEFT - RIGHT) * x / (xs[-1] or 1)
        up = lambda y: top + PANEL - (PANEL - 16) * y / most
        for y in ticks(most):
            out.append(f'<path d="M{LEFT} {up(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            out.append(f'<text x="{LEFT - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{y:,.0f}</text>')
        for x in ticks(xs[-1]):
            out.append(f'<text x="{across(x):.1f}" y="{top + PANEL + 16}" text-anchor="middle">{x:.0f} s</text>')
        for colour, column in zip(COLOURS, group):
            points = " ".join(f"{across(x):.1f},{up(float(row[column])):.1f}" for x, row in zip(xs, rows))
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x = LEFT
        for colour, column in zip(COLOURS, group):
            out.append(f'<path d="M{x} {top + PANEL + 30}h14" stroke="{colour}" stroke-width="3"/>')
            out.append(f'<text x="{x + 19}" y="{top + PANEL + 34}">{column}</text>')
            x += 40 + 7 * len(column)
    print("\n".join(out + ["</svg>"]))


main()
