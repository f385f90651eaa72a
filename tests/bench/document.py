"""docs/benchmarks.md: what is written by hand stays, what stands between its two marks is made from the newest results."""
import glob
import os
import platform
import re
import shutil
import subprocess
import time

import report
import targets
from rows import Rows
from sections import SECTIONS
from systems import HERE, rig

SOURCE = os.path.abspath(os.path.join(HERE, "..", ".."))
DOCUMENT = os.path.join(SOURCE, "docs", "benchmarks.md")
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "?"
    return ((done.stdout + done.stderr).strip().splitlines() or ["?"])[0]


def cpu_model():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())


def about():
    """What was measured, and on what."""
    redis = re.search(r"v=(\S+)", first_line("redis-server", "--version"))
    return {
        "cpu": f"{cpu_model()}, {os.cpu_count()} cores", "kernel": f"Linux {platform.release()}",
        "redis-server": redis.group(1) if redis else "?",
        "twemproxy": first_line("nutcracker", "-V").rpartition("nutcracker-")[2],
        "dynomited": first_line("git", "-C", rig.BUILD, "describe", "--always", "--dirty"),
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def load_results(results):
    """All sections of the directory: the rows, and what each was measured on."""
    rows, abouts = Rows(), {}
    for section in SECTIONS:
        path = os.path.join(results, section.file + ".json")
        if os.path.exists(path):
            more, rest = Rows.load(path)
            rows.extend(more)
            abouts[section.number] = rest["about"]
    return rows, abouts


def machine(abouts):
    """A table of what was measured on what; sections that were measured at different times are told apart."""
    lines = []
    for name in next(iter(abouts.values())):
        values = list(dict.fromkeys(a[name] for a in abouts.values()))
        which = [", ".join(str(n) for n, a in abouts.items() if a[name] == v) for v in values]
        told = [v if len(values) == 1 else f"{v} (section {w})" for v, w in zip(values, which)]
        lines.append([name, "; ".join(told)])
    return report.markdown(["", ""], lines)


def measured_text(results):
    rows, abouts = load_results(results)
    if not abouts:
        raise SystemExit(f"{results} holds no results: run make bench")
    out = ["## Measured on\n", machine(abouts), "## Targets\n",
           report.target_table(targets.judge_all(rows, [s.slug for s in SECTIONS]))]
    for section in SECTIONS:
        if section.number in abouts:
            out += [f"## {section.number}. {section.title}\n", f"![{section.title}](benchmarks/{section.file}.svg)\n",
                    report.table(rows, section)]
    return "\n".join(out)


def update(results):
    """Exit status 0, or SystemExit with the reason."""
    text = measured_text(results)
    with open(DOCUMENT, encoding="utf-8") as f:
        before, rest = f.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(DOCUMENT, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n{text}\n{END}{after}")
    for picture in glob.glob(os.path.join(results, "*.svg")):
        shutil.copy(picture, DOCUMENT[:-3])
    print(f"{DOCUMENT} holds the newest tables")
    return 0
