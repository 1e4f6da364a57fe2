"""The results of bench/run.py as lines of JSON, and the table that people read."""

import os
import re
import shlex
import statistics
import subprocess
import sys
import time

import series

PACKAGES = ("golang-github-nats-io-nats-server-dev", "golang-go", "libck-dev", "libdisruptor-java", "liburcu-dev",
            "libnng-dev", "libzmq3-dev")


# -------------------------------------------------------------------------------------------------------------- the lines

def summary(values):
    return {"rounds": values, "median": round(statistics.median(values), 4), "min": min(values), "max": max(values)}


def row(of, key):
    found = {"name": of.name, "figure": key, "unit": of.figures[key], "group": of.group, "config": of.config,
             **summary(of.values(key)), "lost": sum(of.values("lost"))}
    if of.peer:
        found.update({"peer": of.peer, "oversubscribed": of.oversubscribed})
    if len(of.scouted) > 1:
        found["scouted"] = of.scouted
    return found


def best(names, key, by_name):
    there = [by_name[name] for name in names if name in by_name]
    return max(there, key=lambda one: statistics.median(one.values(key))) if there else None


def target_row(target, by_name):
    """None where one of the two was not measured."""
    key = target.figure[1]
    of = best(*target.figure, by_name)
    to = best(*target.to, by_name) if target.to else None
    if of is None or (target.to and to is None):
        return None
    values = of.values(key)
    if to:
        values = [round(a / b, 4) for a, b in zip(values, to.values(target.to[1]))]
    found = {"name": target.name, "figure": "target", "unit": target.unit, "of": of.name, "to": to.name if to else None,
             **summary(values)}
    if target.at_least is not None:
        return {**found, "at_least": target.at_least, "met": found["median"] >= target.at_least}
    return {**found, "at_most": target.at_most, "met": found["median"] <= target.at_most}


def output_of(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
                              cwd=series.ROOT).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""


def versions():
    found = {}
    for package in PACKAGES:
        version = output_of("dpkg-query", "-W", "-f", "${Version}\n", package)
        if version:
            found[package] = version.split("\n", maxsplit=1)[0]  # a line for each architecture
    java = re.search(r'version "([^"]*)"', output_of("java", "-version"))
    return {**found, "java": java.group(1)} if java else found


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"^(?:model name|CPU part)\s*:\s*(.*)$", cpuinfo.read(), re.MULTILINE)
    system = os.uname()
    return {"name": "machine", "processor": model.group(1) if model else system.machine,
            "processors": series.PROCESSORS, "system": f"{system.sysname} {system.release}",
            "compiler": output_of("cc", "--version").split("\n")[0], "versions": versions(),
            "revision": output_of("git", "describe", "--always", "--dirty"),
            "command": shlex.join(["scripts/bench", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d %H:%M %z"),
            "load_before": os.getloadavg()[0]}


def lines_of(serieses, about):
    """What --json prints: the machine, then the rows, then the targets."""
    by_name = {one.name: one for one in serieses}
    rows = [row(one, key) for one in serieses for key in one.figures]
    return [about, *rows, *filter(None, (target_row(target, by_name) for target in series.targets()))]


# -------------------------------------------------------------------------------------------------------------- the table

def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def limit_of(target):
    return f">= {target['at_least']:g}" if "at_least" in target else f"<= {target['at_most']:g}"


def remarks(found):
    """What scouting chose, and whether the threads had to share processors."""
    config = found["config"]
    said = [f"{key}={config[key]}" for key in ("wait", "ring") if key in config and f"{config[key]}" not in found["name"]]
    return " ".join(said + (["oversubscribed"] if found.get("oversubscribed") else []))


def split(lines):
    """The machine, the rows, the targets."""
    return (lines[0], [line for line in lines[1:] if line["figure"] != "target"],
            [line for line in lines[1:] if line["figure"] == "target"])


def print_table(lines):
    about, rows, found = split(lines)
    print(f"{about['processor']}, {about['processors']} processors, {about['system']}, {about['compiler']}")
    print(f"{about['date']}, revision {about['revision'] or 'unknown'}, {about['rounds']} rounds in {about['seconds']:.0f} s, "
          f"load {about['load_before']:.2f} before and {about['load_after']:.2f} after\n")
    width = max(len(line["name"]) for line in rows + found)
    print(f"{'':{width}}  {'figure':24} {'median':>12} {'least':>12} {'greatest':>12}  unit       lost")
    for r in rows:
        print(f"{r['name']:{width}}  {r['figure']:24} {number(r['median']):>12} {number(r['min']):>12} "
              f"{number(r['max']):>12}  {r['unit']:10} {r['lost']:4}  {remarks(r)}".rstrip())
    if found:
        print(f"\n{'':{width}}  {'target':>12} {'median':>12} {'least':>12} {'greatest':>12}  unit")
    for r in found:
        print(f"{r['name']:{width}}  {limit_of(r):>12} {number(r['median']):>12} {number(r['min']):>12} "
              f"{number(r['max']):>12}  {r['unit']:6} {'met' if r['met'] else 'MISSED'}"
              + (f" (to {r['to']})" if r["to"] not in (None, r["of"]) else ""))
    for peer, path in about["left_out"].items():
        print(f"\n{peer} is left out: there is no {path}")
