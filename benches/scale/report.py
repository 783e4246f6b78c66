"""The figures of all runs as a table and as a plot: the best of each figure for each number of grants."""

import math

# What a figure is called, how it is written, and which of several is best.
LINES = [
    ("load average of the machine at the beginning", "load", "{:.1f}", min),
    ("session not in memory, at 500 requests/s: p50, ms", "lookup_p50_ms", "{:.1f}", min),
    ("p99, ms", "lookup_p99_ms", "{:.1f}", min),
    ("CPU of the replica each, ms", "lookup_cpu_ms", "{:.2f}", min),
    ("token refreshes (renewals) per second, two replicas", "renewals_per_s", "{:,.0f}", max),
    ("CPU of the replicas each, ms", "renewal_replicas_cpu_ms", "{:.2f}", min),
    ("CPU of Postgres each, ms", "renewal_postgres_cpu_ms", "{:.2f}", min),
    ("WAL each, KiB", "renewal_wal_kib", "{:.1f}", min),
    ("of it full-page images, pages", "renewal_full_pages", "{:.1f}", min),
    ("login, both ways: median, ms", "login_p50_ms", "{:.1f}", min),
    ("back-channel logout by subject: p50, ms", "logout_p50_ms", "{:.1f}", min),
    ("p99, ms", "logout_p99_ms", "{:.1f}", min),
    ("`evergate sessions list`, first page: p50, ms", "list_p50_ms", "{:.0f}", min),
    ("slowest page of the administration: p50, ms", "administration_ms", "{:.0f}", min),
    ("slowest call of a periodic statement, ms", "periodic_ms", "{:.1f}", min),
    ("sweep of 1,000 sessions and their grants: statements together, ms", "sweep_ms", "{:.0f}", min),
    ("slowest of them, ms", "sweep_slowest_ms", "{:.1f}", min),
    ("heap-only (HOT) updates of grants, %", "hot_grants_percent", "{:.0f}", max),
    ("heap-only (HOT) updates of sessions, %", "hot_sessions_percent", "{:.0f}", max),
    ("tables, MiB", "tables_mib", "{:,.0f}", min),
    ("indexes, MiB", "indexes_mib", "{:,.0f}", min),
    ("memory of a replica, MiB", "replica_mib", "{:.0f}", min),
    ("for each session that it keeps, KiB", "cached_kib", "{:.1f}", min),
]
# What a busy machine changes least.
PANELS = [
    ("CPU, milliseconds", [
        ("replica, look-up", "lookup_cpu_ms"), ("replicas, token refresh", "renewal_replicas_cpu_ms"),
        ("Postgres, token refresh", "renewal_postgres_cpu_ms"),
    ]),
    ("WAL of a token refresh, KiB", [("all", "renewal_wal_kib")]),
    ("MiB", [("tables", "tables_mib"), ("indexes", "indexes_mib")]),
]  # fmt: skip
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 720, 180, 64, 20, 40, 62
COLOURS = ["#1f5fa8", "#c2571a", "#3d7a3d", "#8a3d8a", "#8a6d1f"]


def best(found):
    """For each number of grants, in order, the best of each figure."""
    numbers = {}
    for run in found:
        tables, indexes = (sum(sizes[part] for sizes in run["sizes"].values()) / (1 << 20) for part in [0, 1])
        derived = {"renewal_wal_kib": run["renewal_wal_bytes"] / 1024, "tables_mib": tables, "indexes_mib": indexes}
        derived |= {f"hot_{name}_percent": 100 * run[f"hot_{name}"] for name in ["grants", "sessions"]}
        numbers.setdefault(run["grants"], []).append(run | derived)
    return {
        count: {key: choose(run[key] for run in numbers[count]) for _, key, _, choose in LINES} for count in sorted(numbers)
    }


def table(found):
    rows = best(found)
    lines = ["| | " + " | ".join(f"{count:,}" for count in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for name, key, form, _ in LINES:
        lines.append(f"| {name} | " + " | ".join(form.format(figures[key]) for figures in rows.values()) + " |")
    newest = {run["grants"]: run for run in found}
    lines += ["", "| table | " + " | ".join(f"{count:,}: rows, indexes, MiB" for count in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in newest[max(newest)]["sizes"]:
        cells = [newest[count]["sizes"].get(name, [0, 0]) for count in rows]
        lines.append(f"| `{name}` | " + " | ".join(f"{a / (1 << 20):,.0f}, {b / (1 << 20):,.0f}" for a, b in cells) + " |")
    runs = [f"{run['grants']:,} {run['label']}: load {run['load']:.1f}, fsync {run['fsync_ms']:.1f} ms" for run in found]
    return "\n".join([*lines, "", f"{len(found)} rounds: " + "; ".join(runs)])


def plot(found):
    """One panel for each kind of figure, both axes logarithmic."""
    rows = best(found)
    height = TOP + len(PANELS) * (PANEL + GAP)
    title = "What grows with the number of grants"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="{LEFT}" y="22" font-size="14">{title}</text>',
    ]
    first, last = (math.log10(count) for count in (min(rows), max(rows)))
    across = lambda count: LEFT + 20 + (WIDTH - LEFT - RIGHT - 40) * (math.log10(count) - first) / (last - first or 1)
    for number, (unit, curves) in enumerate(PANELS):
        top = TOP + number * (PANEL + GAP)
        values = [max(figures[key], 0.1) for _, key in curves for figures in rows.values()]
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 0.001)
        up = lambda value: top + PANEL - (PANEL - 20) * (math.log10(max(value, 0.1)) - low) / (high - low)
        out.append(f'<text x="{LEFT}" y="{top + 10}">{unit}</text>')
        for power in range(low, high + 1):
            out.append(f'<path d="M{LEFT} {up(10**power):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            out.append(f'<text x="{LEFT - 6}" y="{up(10**power) + 4:.1f}" text-anchor="end">{10**power:,g}</text>')
        for count in rows:
            out.append(f'<text x="{across(count):.1f}" y="{top + PANEL + 16}" text-anchor="middle">{count:,}</text>')
        x = LEFT
        for colour, (name, key) in zip(COLOURS, curves):
            points = [(across(count), up(figures[key])) for count, figures in rows.items()]
            joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            out.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
            out.append(f'<path d="M{x} {top + PANEL + 34}h14" stroke="{colour}" stroke-width="3"/>')
            out.append(f'<text x="{x + 19}" y="{top + PANEL + 38}">{name}</text>')
            x += 34 + 6 * len(name)
    return "\n".join(out + ["</svg>\n"])
