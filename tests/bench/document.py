"""docs/benchmarks.md: what is written by hand stays, what stands between its two marks is made from the newest results."""
import glob
import os
import platform
import re
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
    for path in sorted(glob.glob(os.path.join(results, "*.json"))):
        section, more = Rows.load(path)
        rows.extend(section)
        abouts[os.path.basename(path).split("-", 1)[1][:-5]] = more["about"]
    return rows, abouts
