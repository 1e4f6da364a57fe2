"""The results of bench/run.py as a page with pictures, for scripts/bench --report."""

import json
import math
import os
import shutil
import subprocess
import sys
from html import escape

from report import limit_of, number, remarks, split

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .5rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td small { color: #666; display: block }
tr.ours td:first-child { font-weight: 600 }
.met { color: #1a7431 } .missed { color: #b3261e; font-weight: 600 }
figure { margin: 1rem 0 } img { max-width: 100% } figcaption, .note { color: #555; font-size: .9rem }
code { background: #f3f3f3; padding: 0 .2rem } dt { font-weight: 600; float: left; clear: left; width: 9rem }
dd { margin: 0 0 0 9.5rem }
"""


# ----------------------------------------------------------------------------------------------------------- throughput

def of_payload(rows, payload):
    return [row for row in rows if "peer" in row and row["config"]["payload"] == payload]


def payloads_of(rows):
    return sorted({row["config"]["payload"] for row in rows if "peer" in row})


def label(row):
    """A peer as the tables and pictures call it."""
    peer, batch = row["peer"].replace(" run=64", ", runs of 64"), row["config"]["batch"]
    return peer if batch == 1 else f"{peer}, batches of {batch}"


def ours(row):
    return row["peer"].startswith("aether")


def counts_of(rows):
    return sorted({row["config"]["readers"] for row in rows})


def readers_text(rows, count):
    text = {0: "no reader", 1: "1 reader"}.get(count, f"{count} readers")
    mine = [row for row in rows if row["config"]["readers"] == count]
    return text + (", oversubscribed" if any(row["oversubscribed"] for row in mine) else "")


# ------------------------------------------------------------------------------------------------------------- pictures

LINE_PIXELS = 19
OURS, OURS_BATCHED, THEIRS, THEIRS_BATCHED = "#2f6f9f", "#7fb0d3", "#a8a8a8", "#cfcfcf"


def colour(row):
    if row["config"]["batch"] == 1:
        return OURS if ours(row) else THEIRS
    return OURS_BATCHED if ours(row) else THEIRS_BATCHED


def picture_lines(rows):
    """From the top: a heading for each number of readers, and a row or None behind each label."""
    for count in counts_of(rows):
        yield readers_text(rows, count), None
        for row in rows:
            if row["config"]["readers"] == count:
                yield label(row), row
        yield "", None


def picture_script(rows, path):
    lines = list(picture_lines(rows))[:-1]
    height = LINE_PIXELS * (len(lines) + 4)
    least = 10 ** math.floor(math.log10(0.9 * min(row["min"] for row in rows)))
    greatest = max(row["max"] for row in rows) * 3
    bars, spreads, headings, tics = [], [], [], []
    for place, (text, row) in enumerate(lines):
        y = len(lines) - place
        if row is None:
            headings.append(f'set label "{text}" at graph 0.005, first {y} left front font ",13"')
            continue
        tics.append(f'"{text}" {y}')
        bars.append(f'{row["median"]} {y} {least} {row["median"]} {y - 0.36} {y + 0.36} 0x{colour(row)[1:]}')
        spreads.append(f'{row["median"]} {y} {row["min"]} {row["max"]} "{number(row["median"])}"')
    return "\n".join([
        f'set terminal svg size 1000,{height} noenhanced font "sans-serif,12" background "white"',
        f'set output "{path}"',
        "$bars << EOD", *bars, "EOD", "$spreads << EOD", *spreads, "EOD", *headings,
        "unset key", "set logscale x", f"set xrange [{least}:{greatest}]", f"set yrange [0.2:{len(lines) + 0.8}]",
        f"set ytics ({', '.join(tics)}) scale 0", 'set xlabel "million items a second"', 'set format x "%g"',
        'set grid xtics back lt 1 lw 1 lc rgb "#cccccc"', "set border 1", "set style fill solid noborder", "set lmargin 32",
        "plot $bars using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable, "
        '$spreads using 1:2:3:4 with xerrorbars pt 0 lw 1 lc rgb "#222222", '
        '$spreads using ($4*1.08):2:5 with labels left font ",10" tc rgb "#222222"', ""])


def draw(rows, path):
    """False where there is nothing to draw with."""
    if not shutil.which("gnuplot"):
        return False
    done = subprocess.run(["gnuplot"], input=picture_script(rows, path), text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"gnuplot: {done.stderr}")
    return True


# --------------------------------------------------------------------------------------------------------------- tables

def cells(*texts, head=False):
    """Text to the left, numbers to the right."""
    tag = "th" if head else "td"
    return "".join(f"<{tag}{'' if place == 0 else ' class=n'}>{text}</{tag}>" for place, text in enumerate(texts))


def spread(row):
    return f"{number(row['min'])} – {number(row['max'])}"


def target_table(found):
    yield "<table><tr>" + cells("", "target", "median", "least – greatest", "unit", "", head=True) + "</tr>"
    for r in found:
        said = f"<small>{escape(r['of'])} / {escape(r['to'])}</small>" if r["to"] not in (None, r["of"]) else ""
        result = "<span class=met>met</span>" if r["met"] else "<span class=missed>missed</span>"
        yield "<tr>" + cells(escape(r["name"]) + said, escape(limit_of(r)), number(r["median"]), spread(r), r["unit"],
                             result) + "</tr>"
    yield "</table>"


def rate_table(rows):
    """A line for each peer, a column for each number of readers."""
    counts = counts_of(rows)
    yield "<table><tr>" + cells("million items a second", *(readers_text(rows, count) for count in counts), head=True) + "</tr>"
    for name in dict.fromkeys(label(row) for row in rows):
        mine = {row["config"]["readers"]: row for row in rows if label(row) == name}
        kind = " class=ours" if ours(next(iter(mine.values()))) else ""
        yield f"<tr{kind}>" + cells(escape(name), *(rate_cell(mine.get(count)) for count in counts)) + "</tr>"
    yield "</table>"


def rate_cell(row):
    if row is None:
        return ""
    chosen = remarks({**row, "oversubscribed": False})
    return number(row["median"]) + f"<small>{spread(row)}</small>" + (f"<small>{escape(chosen)}</small>" if chosen else "")


def other_table(rows):
    yield "<table><tr>" + cells("", "figure", "median", "least – greatest", "unit", head=True) + "</tr>"
    for r in rows:
        yield "<tr>" + cells(escape(r["name"]), escape(r["figure"]), number(r["median"]), spread(r), r["unit"]) + "</tr>"
    yield "</table>"


# ----------------------------------------------------------------------------------------------------------------- page

def about_list(about):
    facts = {
        "Machine": f"{about['processor']}, {about['processors']} processors, {about['system']}",
        "Date": about["date"],
        "Revision": about["revision"] or "unknown",
        "Command": f"<code>{escape(about['command'])}</code>",
        "Rounds": f"{about['rounds']}, every other one in the opposite order; {about['seconds']:.0f} s in all",
        "Load": f"{about['load_before']:.2f} before, {about['load_after']:.2f} after",
        "Compiler": about["compiler"],
        "Peers": ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
    }
    if about["left_out"]:
        facts["Left out"] = "; ".join(f"{name}: there is no {path}" for name, path in about["left_out"].items())
    yield "<dl>"
    for name, text in facts.items():
        yield f"<dt>{name}</dt><dd>{text if name == 'Command' else escape(text)}</dd>"
    yield "</dl>"


def throughput_section(rows, directory):
    yield "<h2>Throughput</h2>"
    yield ("<p>From one writer to its readers, each of which checks the number of every item. The bars and figures are "
           "medians, the lines reach from the least round to the greatest; the scale is logarithmic. What is unread is "
           "bounded to 3 MB. Each peer has the ring, and the way to wait where it is named below the figure, that a short "
           "pass before the rounds found best.</p>")
    if any(row["oversubscribed"] for row in rows):
        yield ("<p class=note>Oversubscribed: more threads than processors. It says how the competitors share processors, "
               "and leaves out ways to wait that never give one away.</p>")
    for payload in payloads_of(rows):
        mine, name = of_payload(rows, payload), f"throughput-{payload}.svg"
        yield f"<h3>Items of {payload} bytes</h3>"
        if draw(mine, os.path.join(directory, name)):
            yield (f'<figure><img src="{name}" alt="Throughput with {payload} bytes by number of readers; the table below has '
                   "the same figures\"></figure>")
        else:
            yield "<p class=note>The picture is left out: there is no gnuplot.</p>"
        yield from rate_table(mine)


def page(lines, directory):
    about, rows, found = split(lines)
    races, others = [r for r in rows if "peer" in r], [r for r in rows if "peer" not in r]
    yield ("<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
           f"<title>aether: benchmarks</title><style>{STYLE}</style></head><body><h1>aether: benchmarks</h1>")
    yield from about_list(about)
    yield ("<p class=note>Virtual machines drift by a factor of two within seconds: the ratios divide figures of the same "
           'round, and figures of different reports cannot be compared. <a href="figures.json">All figures</a>, one JSON '
           "object per line, from which <code>scripts/bench --from figures.json --report DIR</code> makes this page again."
           "</p>")
    if found:
        yield "<h2>Targets</h2>"
        yield from target_table(found)
    if races:
        yield from throughput_section(races, directory)
    if others:
        yield "<h2>Waking, opening, closing, memory</h2>"
        yield from other_table(others)
    yield "</body></html>"


def write(lines, directory):
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "figures.json"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    with open(os.path.join(directory, "report.html"), "w", encoding="utf-8") as file:
        file.writelines(part + "\n" for part in page(lines, directory))
    if not shutil.which("gnuplot"):
        print("the pictures are left out: there is no gnuplot", file=sys.stderr)
