#!/usr/bin/env python3
"""Runs the benchmarks in rounds and compares them: the second half of scripts/bench.

A series is one program with its arguments; every round runs every series once, every other round in the opposite order. A
figure is one key of the line that a series prints; a ratio divides two figures of the same round. What is reported of either
is the median of the rounds, the least and the greatest.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "bench")
RUN_SECONDS = 300  # longer than any run takes: a reader has hung


@dataclass
class Series:
    """One program with its arguments, and what its rounds said."""

    group: str
    name: str
    command: list
    figures: dict  # key -> unit
    config: dict = None  # as the program says it
    results: list = field(default_factory=list)  # of each round: what was measured

    def there(self):
        return os.path.exists(self.command[0])

    def values(self, key):
        return [result[key] for result in self.results]


@dataclass
class Target:
    """What a figure, or its ratio to another one of the same round, should be."""

    name: str
    figure: tuple  # (series, key)
    to: tuple  # (serieses of which the best counts, key), or None
    at_least: float = None
    at_most: float = None
    unit: str = "times"


# ------------------------------------------------------------------------------------------------------------ the series

RATE = {"rate_m_per_s": "M items/s"}
RINGS = [1 << n for n in range(10, 17)]
READERS = {0: 100, 1: 50, 3: 20, 10: 8}  # -> million items of a fast competitor
GO_ITEMS = {0: 3.0, 1: 2.5, 3: 2.0, 10: 1.0}


def program(name, **options):
    command = [os.path.join(BUILD, "bench", name), "--json"]
    for key, value in options.items():
        command += ["--" + key.replace("_", "-"), str(value)]
    return command


def millions(count, quick):
    return int(count * 1e6 / (10 if quick else 1))


def throughput_series(quick, yardstick):
    for readers, items in READERS.items():
        group = f"throughput-{readers}"
        for api in ("inline", "plain"):
            for batch in (1, 64):
                share = 1 if api == "inline" or batch > 1 else 0.4
                yield Series(group, f"aether {api} readers={readers} batch={batch}",
                             program("throughput", api=api, readers=readers, batch=batch,
                                     items=millions(items * share, quick)), RATE)
        yield Series(group, f"golist readers={readers}",
                     [os.path.join(BUILD, "golist"), "--json", "--readers", str(readers), "--items",
                      str(millions(GO_ITEMS[readers], quick))], RATE)
        for ring in RINGS if readers else []:
            yield Series(group, f"ck_ring readers={readers} ring={ring}",
                         program("peers/ck_ring", readers=readers, ring=ring,
                                 items=millions(items * (0.4 if readers == 1 else 0.2), quick)), RATE)
        for batch in (1, 64) if yardstick else []:
            yield Series(group, f"yardstick readers={readers} batch={batch}",
                         [yardstick, str(readers), str(millions(items, quick)), str(batch), "100", "48"], RATE)


def other_series(quick):
    for api in ("inline", "plain"):
        yield Series("syscalls", f"syscalls {api}", program("syscalls", api=api, items=10_000_000),
                     {"writer_calls": "calls"})
    yield Series("wake", "wake", program("wake", samples=500 if quick else 2000),
                 {key: "ns" for key in ("aether_p50_ns", "aether_p99_ns", "futex_p50_ns", "futex_p99_ns")})
    for then in ("again", "stay"):
        yield Series("herd", f"herd then={then}", program("herd", then=then, rounds=5 if quick else 15),
                     {f"{who}_p50_ns": "ns" for who in ("one_inside", "many_inside", "bare_inside", "many_first",
                                                        "bare_first", "many_last", "bare_last")})
    yield Series("open_close", "open_close", program("open_close"),
                 {"idle_ns": "ns", "busy_ns": "ns", "writer_alone_m_per_s": "M items/s",
                  "writer_meanwhile_m_per_s": "M items/s"})
    yield Series("drop_chain", "drop_chain", program("drop_chain"),
                 {key: "us" for key in ("longest_before_us", "longest_after_us", "longest_any_after_us", "close_us")})
    for payload in (8, 32, 100, 1000):
        figures = {"item_bytes": "bytes"}
        if payload == 32:
            figures["empty_bytes"] = "bytes"
        yield Series("memory", f"memory payload={payload}", program("memory", payload=payload, items=500_000), figures)


# ----------------------------------------------------------------------------------------------------------- the targets

def targets():
    rate = "rate_m_per_s"
    rings = [f"ck_ring readers=1 ring={ring}" for ring in RINGS]
    inline, plain = "aether inline readers={} batch=1".format, "aether plain readers={} batch=1".format
    return [
        Target("append, no reader, inline / Go list", (inline(0), rate), (["golist readers=0"], rate), at_least=80),
        Target("append, no reader, plain / Go list", (plain(0), rate), (["golist readers=0"], rate), at_least=25),
        Target("1 reader, inline / best ck_ring", (inline(1), rate), (rings, rate), at_least=3.5),
        Target("1 reader, plain / best ck_ring", (plain(1), rate), (rings, rate), at_least=1.2),
        Target("no reader, inline / yardstick", (inline(0), rate), (["yardstick readers=0 batch=1"], rate),
               at_least=0.85),
        Target("1 reader, inline / yardstick", (inline(1), rate), (["yardstick readers=1 batch=1"], rate),
               at_least=0.85),
        Target("system calls of the writer, inline", ("syscalls inline", "writer_calls"), None, at_most=0,
               unit="calls"),
        Target("system calls of the writer, plain", ("syscalls plain", "writer_calls"), None, at_most=0, unit="calls"),
        Target("1 sleeping reader, publish until it runs / futex", ("wake", "aether_p50_ns"),
               (["wake"], "futex_p50_ns"), at_most=1.15),
        Target("1,000 sleeping readers, inside append / 1 of them", ("herd then=again", "many_inside_p50_ns"),
               (["herd then=again"], "one_inside_p50_ns"), at_most=5),
        Target("the last of 1,000 awake / wake-all", ("herd then=again", "many_last_p50_ns"),
               (["herd then=again"], "bare_last_p50_ns"), at_most=1.25),
        Target("the same, while the woken stay up / wake-all", ("herd then=stay", "many_last_p50_ns"),
               (["herd then=stay"], "bare_last_p50_ns"), at_most=1.25),
        Target("open and close a cursor, quiet", ("open_close", "idle_ns"), None, at_most=30, unit="ns"),
        Target("open and close a cursor, busy writer", ("open_close", "busy_ns"), None, at_most=500, unit="ns"),
        Target("longest append after a chain was dropped", ("drop_chain", "longest_after_us"), None, at_most=100,
               unit="us"),
        Target("memory per kept item of 32 bytes", ("memory payload=32", "item_bytes"), None, at_most=48, unit="bytes"),
        Target("memory of an empty buffer with a cursor", ("memory payload=32", "empty_bytes"), None, at_most=2048,
               unit="bytes"),
    ]


# --------------------------------------------------------------------------------------------------------------- running

def read_yardstick(text, readers):
    """Its line is its own: "readers=1 batch=1 append=500 M/s end_to_end=498 M/s ...". It aborts when an item is wrong."""
    values = dict(re.findall(r"(\w+)=([\d.]+)", text))
    rate = float(values["append" if readers == "0" else "end_to_end"])
    return {"config": {key: int(values[key]) for key in ("readers", "batch", "payload")},
            "measured": {"rate_m_per_s": rate, "lost": 0}}


def run_once(series):
    try:
        done = subprocess.run(series.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        sys.exit(f"{series.name}: not done after {RUN_SECONDS} s: {shlex.join(series.command)}")
    if done.returncode != 0:
        sys.exit(f"{series.name}: status {done.returncode}: {shlex.join(series.command)}\n{done.stderr}")
    if series.name.startswith("yardstick"):
        result = read_yardstick(done.stdout, series.command[1])
    else:
        result = json.loads(done.stdout)
    if result["measured"]["lost"] != 0:
        sys.exit(f"{series.name}: lost {result['measured']['lost']}: {shlex.join(series.command)}")
    series.config = result["config"]
    series.results.append(result["measured"])


def run_rounds(serieses, rounds):
    for number in range(rounds):
        order = serieses if number % 2 == 0 else serieses[::-1]
        for place, series in enumerate(order):
            note = f"round {number + 1} of {rounds}, {place + 1} of {len(order)}: {series.name}"
            if sys.stderr.isatty():
                print(f"\r\033[K{note}", end="", file=sys.stderr, flush=True)
            run_once(series)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def build_yardstick(path, cflags):
    output = os.path.join(BUILD, "yardstick")
    os.makedirs(BUILD, exist_ok=True)
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-g", "-DPAY=32", "-pthread", *cflags, path, "-o", output], check=True)
    return output


# ------------------------------------------------------------------------------------------------------------- reporting

def summary(values):
    return {"rounds": values, "median": round(statistics.median(values), 4), "min": min(values), "max": max(values)}


def row(series, key):
    return {"name": series.name, "figure": key, "unit": series.figures[key], "config": series.config,
            **summary(series.values(key)), "lost": sum(series.values("lost"))}


def best(names, key, by_name):
    there = [by_name[name] for name in names if name in by_name]
    return max(there, key=lambda series: statistics.median(series.values(key))) if there else None


def target_row(target, by_name):
    """None where a competitor was not measured."""
    series = by_name.get(target.figure[0])
    other = best(*target.to, by_name) if target.to else None
    if series is None or (target.to and other is None):
        return None
    values = series.values(target.figure[1])
    if other:
        values = [round(a / b, 4) for a, b in zip(values, other.values(target.to[1]))]
    found = {"name": target.name, "figure": "target", "unit": target.unit, "of": series.name,
             "to": other.name if other else None, **summary(values)}
    if target.at_least is not None:
        return {**found, "at_least": target.at_least, "met": found["median"] >= target.at_least}
    return {**found, "at_most": target.at_most, "met": found["median"] <= target.at_most}


def output_of(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
                              cwd=ROOT).stdout.strip()
    except FileNotFoundError:
        return ""


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"^(?:model name|CPU part)\s*:\s*(.*)$", cpuinfo.read(), re.MULTILINE)
    system = os.uname()
    return {"name": "machine", "processor": model.group(1) if model else system.machine, "processors": os.cpu_count(),
            "system": f"{system.sysname} {system.release}", "compiler": output_of("cc", "--version").split("\n")[0],
            "go": output_of("go", "version"), "revision": output_of("git", "describe", "--always", "--dirty"),
            "load_before": os.getloadavg()[0]}


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def print_table(about, rows, found):
    print(f"{about['processor']}, {about['processors']} processors, {about['system']}, {about['compiler']}")
    print(f"revision {about['revision'] or 'unknown'}, {about['rounds']} rounds, "
          f"load {about['load_before']:.2f} before and {about['load_after']:.2f} after\n")
    width = max([len(r["name"]) for r in rows + found] + [20])
    print(f"{'':{width}}  {'figure':26} {'median':>12} {'least':>12} {'greatest':>12}  unit       lost")
    for r in rows:
        print(f"{r['name']:{width}}  {r['figure']:26} {number(r['median']):>12} {number(r['min']):>12} "
              f"{number(r['max']):>12}  {r['unit']:10} {r['lost']}")
    if found:
        print(f"\n{'':{width}}  {'target':>12} {'median':>12} {'least':>12} {'greatest':>12}  unit")
    for r in found:
        limit = f">= {r['at_least']:g}" if "at_least" in r else f"<= {r['at_most']:g}"
        print(f"{r['name']:{width}}  {limit:>12} {number(r['median']):>12} {number(r['min']):>12} "
              f"{number(r['max']):>12}  {r['unit']:6} {'met' if r['met'] else 'MISSED'}"
              + (f" ({r['to']})" if r["to"] and r["to"].startswith("ck_ring") else ""))


def report(serieses, about, as_json):
    by_name = {series.name: series for series in serieses}
    rows = [row(series, key) for series in serieses for key in series.figures]
    found = [r for r in (target_row(target, by_name) for target in targets()) if r]
    if as_json:
        for line in [about] + rows + found:
            print(json.dumps(line))
    else:
        print_table(about, rows, found)


# ------------------------------------------------------------------------------------------------------------------ main

def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="measures aether and its peers in alternating rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything runs (11)")
    parser.add_argument("--quick", action="store_true", help="3 rounds with fewer items: a first look")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="only what has NAME in its group's or its own name; may be given several times")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of the table")
    parser.add_argument("--list", action="store_true", help="print the groups and names, and run nothing")
    parser.add_argument("--proto", metavar="FILE.c", help="a C program to compile and measure along as a yardstick")
    parser.add_argument("--cflags", default="", metavar="FLAGS", help="more flags for the yardstick")
    return parser.parse_args()


def main():
    options = arguments()
    yardstick = os.path.join(BUILD, "yardstick") if options.proto else None
    serieses = [*throughput_series(options.quick, yardstick), *other_series(options.quick)]
    if options.only:
        serieses = [s for s in serieses if any(name in s.group or name in s.name for name in options.only)]
    if options.list:
        for series in serieses:
            print(f"{series.group:14} {series.name}")
        return
    if options.proto:
        build_yardstick(options.proto, shlex.split(options.cflags))
    for series in serieses:
        if not series.there():
            print(f"{series.name} is left out: {series.command[0]} was not built", file=sys.stderr)
    serieses = [series for series in serieses if series.there()]
    if not serieses:
        sys.exit("nothing to measure")
    about = machine()
    about["rounds"] = options.rounds or (3 if options.quick else 11)
    if about["load_before"] > 0.5:
        print(f"the machine is not quiet (load {about['load_before']:.2f}): low and spread figures follow", file=sys.stderr)
    run_rounds(serieses, about["rounds"])
    about["load_after"] = os.getloadavg()[0]
    report(serieses, about, options.json)


if __name__ == "__main__":
    main()
