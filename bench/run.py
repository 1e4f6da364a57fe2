#!/usr/bin/env python3
"""Runs the benchmarks in rounds and compares them: the second half of scripts/bench.

A series is one program with its arguments; every round runs every series once, every other round in the opposite order. A
figure is one key of the line that a series prints; a ratio divides two figures of the same round. What is reported of either
is the median of the rounds, the least and the greatest.

Before the rounds the throughput series are scouted: which of its variants suits a peer best, the size of its ring for one,
and how many items keep it busy for about as long as the others. The rounds run that variant only, with as many items.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # leaves nothing in the tree

import page
import report
from series import BUILD, RATE, arguments_of, other_series, throughput_series

RUN_SECONDS = 300  # longer than any run takes: a reader has hung


# --------------------------------------------------------------------------------------------------------------- running

def read_yardstick(text, readers):
    """Its line is its own: "readers=1 batch=1 append=500 M/s end_to_end=498 M/s ...". It aborts when an item is wrong."""
    values = dict(re.findall(r"(\w+)=([\d.]+)", text))
    rate = float(values["append" if readers == "0" else "end_to_end"])
    return {"config": {key: int(values[key]) for key in ("readers", "batch", "payload")},
            "measured": {RATE: rate, "lost": 0}}


def run_once(series, more=()):
    """What one run says, with these arguments after its own."""
    command = [*series.command, *more]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=RUN_SECONDS,
                              check=False)
    except subprocess.TimeoutExpired:
        sys.exit(f"{series.name}: not done after {RUN_SECONDS} s: {shlex.join(command)}")
    if done.returncode != 0:
        sys.exit(f"{series.name}: status {done.returncode}: {shlex.join(command)}\n{done.stderr}")
    result = read_yardstick(done.stdout, command[1]) if series.peer == "yardstick" else json.loads(done.stdout)
    if result["measured"]["lost"] != 0:
        sys.exit(f"{series.name}: lost {result['measured']['lost']}: {shlex.join(command)}")
    return result


def note(text):
    """What is going on, on a line that the next note overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def run_rounds(serieses, rounds):
    for number in range(rounds):
        order = serieses if number % 2 == 0 else serieses[::-1]
        for place, series in enumerate(order):
            note(f"round {number + 1} of {rounds}, {place + 1} of {len(order)}: {series.name}")
            result = run_once(series)
            series.config = result["config"]
            series.results.append(result["measured"])
    note("")


def run_smoke(serieses):
    """Does every program work?"""
    for series in serieses:
        note(series.name)
        run_once(series, () if series.peer == "yardstick" else ("--smoke",))
    note("")
    print(f"{len(serieses)} series work")


# -------------------------------------------------------------------------------------------------------------- scouting

SCOUT_SHARE = 0.3  # of the seconds of a run: they tell variants apart
FINALISTS = 3


def rate_of(series, variant, items):
    return run_once(series, arguments_of({**variant, "items": items}))["measured"][RATE]


def items_for(rate, seconds):
    return max(20_000, int(rate * 1e6 * seconds))


def calibrate(series, seconds):
    """How many items keep the first variant busy for so many seconds."""
    items = series.items
    while True:
        enough = items_for(rate_of(series, series.variants[0], items), seconds)
        if items >= enough / 4:
            return enough
        items = min(enough, items * 8)


def scout_one(series, seconds):
    """Every variant once, the best of them once more in the opposite order; then the best one is the series."""
    items = calibrate(series, seconds * SCOUT_SHARE)
    tried = [(variant, [rate_of(series, variant, items)]) for variant in series.variants]
    tried.sort(key=lambda one: one[1], reverse=True)
    finalists = tried[:FINALISTS]
    for variant, rates in reversed(finalists):
        rates.append(rate_of(series, variant, items))
    best, rates = max(finalists, key=lambda one: sum(one[1]))
    series.command = [*series.command, *arguments_of({**best, "items": items_for(statistics.mean(rates), seconds)})]
    series.scouted = [{**variant, RATE: rates} for variant, rates in tried]


def every_other_ring(variants):
    return [variant for variant in variants if "ring" not in variant or variant["ring"].bit_length() % 2]


def scout(serieses, seconds, quick):
    unknown = [series for series in serieses if series.items]
    for place, series in enumerate(unknown):
        if quick:
            series.variants = every_other_ring(series.variants)
        note(f"scouting, {place + 1} of {len(unknown)}: {series.name}")
        scout_one(series, seconds)
    note("")


# ------------------------------------------------------------------------------------------------------------------ main

def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="measures aether and its peers in alternating rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything runs (11)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of shorter runs, every other size of ring: a first look")
    parser.add_argument("--smoke", action="store_true", help="run every program once with tiny counts: do they work?")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="only what has NAME in its group's or its own name; may be given several times")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of the table")
    parser.add_argument("--report", metavar="DIR", help="also write DIR/report.html with pictures, and its figures")
    parser.add_argument("--from", dest="saved", metavar="FILE",
                        help="run nothing: show or report the figures that --json or --report saved")
    parser.add_argument("--list", action="store_true", help="print the groups and names, and run nothing")
    parser.add_argument("--proto", metavar="FILE.c", help="a C program to compile and measure along as a yardstick")
    parser.add_argument("--cflags", default="", metavar="FLAGS", help="more flags for the yardstick")
    return parser.parse_args()


def build_yardstick(source, output, cflags):
    os.makedirs(BUILD, exist_ok=True)
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-g", "-DPAY=32", "-pthread", *cflags, source, "-o", output], check=True)


def choose(options, yardstick):
    serieses = [*throughput_series(yardstick), *other_series(options.quick)]
    if options.only:
        serieses = [s for s in serieses if any(name in s.group or name in s.name for name in options.only)]
    return serieses


def leave_out(serieses):
    """What can run, and what is missing of the rest: its name -> a file."""
    left_out = {(series.peer or series.name): series.missing() for series in serieses if series.missing()}
    for name, path in left_out.items():
        print(f"{name} is left out: there is no {path}", file=sys.stderr)
    return [series for series in serieses if not series.missing()], left_out


def measure(options, serieses, left_out):
    about = report.machine()
    about["rounds"] = options.rounds or (3 if options.quick else 11)
    about["left_out"] = left_out
    if about["load_before"] > 0.5:
        print(f"the machine is not quiet (load {about['load_before']:.2f}): low and spread figures follow", file=sys.stderr)
    begin = time.monotonic()
    scout(serieses, 0.05 if options.quick else 0.2, options.quick)
    run_rounds(serieses, about["rounds"])
    about["load_after"] = os.getloadavg()[0]
    about["seconds"] = round(time.monotonic() - begin, 1)
    return report.lines_of(serieses, about)


def read_saved(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def show(lines, options):
    if options.json:
        for line in lines:
            print(json.dumps(line))
    else:
        report.print_table(lines)
    if options.report:
        page.write(lines, options.report)


def main():
    options = arguments()
    if options.saved:
        show(read_saved(options.saved), options)
        return
    yardstick = os.path.join(BUILD, "yardstick") if options.proto else None
    serieses = choose(options, yardstick)
    if options.list:
        for series in serieses:
            print(f"{series.group:18} {series.name}")
        return
    if options.proto:
        build_yardstick(options.proto, yardstick, shlex.split(options.cflags))
    serieses, left_out = leave_out(serieses)
    if not serieses:
        sys.exit("nothing to measure")
    if options.smoke:
        run_smoke(serieses)
    else:
        show(measure(options, serieses, left_out), options)


if __name__ == "__main__":
    main()
