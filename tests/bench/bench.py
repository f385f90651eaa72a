#!/usr/bin/python3
"""Measures the data path side by side with redis-server and twemproxy, and judges it by the table in targets.py.

usage: bench.py [--check | --doc]
  --check  exit status 1 where a target isn't met or not measured
  --doc    measures nothing: puts the newest tables and pictures into docs/benchmarks.md

For each section a table, a picture and the samples go to the directory results beside this file (BENCH_RESULTS=DIR:
elsewhere). Absolute times say little on a shared machine: compare what stands in one table. Environment:
  DYN_BUILD       the build directory whose programs are measured
  BENCH_SECTIONS  1,4: only these
  BENCH_ROUNDS    how often each comparison is repeated; medians count (3)
  BENCH_REQUESTS  requests of a row (100000; four times as many with pipelines, fewer where they cost much)
  BENCH_SECONDS   when a row that doesn't end is given up (120)
  BENCH_DIR       where the data of all programs lies (the system's temporary directory)
  BENCH_DOC=1     --doc after the run"""
import os
import resource
import shutil
import signal
import sys
import time

import document
import report
import systems
import targets
from rows import Rows
from sections import SECTIONS

RESULTS = os.environ.get("BENCH_RESULTS", os.path.join(systems.HERE, "results"))


class Bench:
    """What sections measure with, and where it is put down."""

    def __init__(self):
        self.rounds = int(os.environ.get("BENCH_ROUNDS", "3"))
        self.rows = Rows()
        self.load = systems.Load()

    def start(self, stack, section, system):
        """Started and ended with the stack; None, and a word about it, if that can't be."""
        try:
            return stack.enter_context(system)
        except (systems.CannotMeasure, OSError) as error:
            self.rows.add_cannot(section, system.name, "", error)
            return None

    def measure(self, section, system, work, round_, how):
        """how() gives the figures of one sample, or raises CannotMeasure."""
        try:
            figures = how()
        except systems.CannotMeasure as error:
            self.rows.add_cannot(section, system.name, work, error)
            print(f"  {work:12} {system.name:24} not measured: {error}", file=sys.stderr, flush=True)
            return {}
        self.rows.add(section, system.name, work, round_, system.against, **figures)
        shown = "  ".join(f"{k} {v:.4g}" for k, v in figures.items())
        print(f"  {work:12} {system.name:24} {shown}", file=sys.stderr, flush=True)
        return figures


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def run_section(bench, section):
    started = time.monotonic()
    print(f"{section.number} {section.title}", file=sys.stderr, flush=True)
    try:
        section.run(bench)
    except (systems.CannotMeasure, AssertionError, OSError) as error:
        bench.rows.add_cannot(section.slug, "", "the rest of this section", repr(error))
    rows = bench.rows.of(section.slug)
    name = os.path.join(RESULTS, section.file)
    text = f"## {section.number}. {section.title}\n\n{report.table(rows, section)}"
    rows.dump(name + ".json", about=document.about())
    write(name + ".md", text)
    write(name + ".svg", report.draw(rows, section))
    print(f"\n{text}\n{time.monotonic() - started:.0f} s\n", flush=True)


def chosen_sections():
    wanted = os.environ.get("BENCH_SECTIONS")
    numbers = [int(n) for n in wanted.split(",")] if wanted else [s.number for s in SECTIONS]
    unknown = [n for n in numbers if n not in [s.number for s in SECTIONS]]
    if unknown:
        sys.exit(f"BENCH_SECTIONS={wanted}: found {unknown[0]}; allowed 1 to {len(SECTIONS)}, comma separated")
    return [s for s in SECTIONS if s.number in numbers]


def prepare():
    missing = [program for program in ("redis-server", "redis-benchmark") if not shutil.which(program)]
    if missing:
        sys.exit(f"bench needs {', '.join(missing)}: ./tools/dev packages installs redis-server and redis-tools")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: told to end"))  # and what was started ends with it
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.makedirs(RESULTS, exist_ok=True)


def run(check):
    prepare()
    bench, sections = Bench(), chosen_sections()
    for section in sections:
        run_section(bench, section)
    verdicts = targets.judge_all(bench.rows, [s.slug for s in sections])
    text = f"## Targets\n\n{report.target_table(verdicts)}"
    if len(sections) < len(SECTIONS):
        text += "\nOnly those of the sections chosen.\n"
    write(os.path.join(RESULTS, "targets.md"), text)
    met = sum(v.met for v in verdicts)
    print(f"{text}\n{met} of {len(verdicts)} targets met. Tables and pictures lie in {RESULTS}.")
    if os.environ.get("BENCH_DOC"):
        document.update(RESULTS)
    return targets.exit_status(verdicts) if check else 0


def main():
    if sys.argv[1:] == ["--doc"]:
        return document.update(RESULTS)
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    return run(check="--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
