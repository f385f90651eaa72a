#!/usr/bin/python3
"""Can the bench itself fail? Its judgement on rows made here, its tables and pictures of them, and the load generator
against a server that stalls. Runs in the build directory, as part of make check."""
import os
import socket
import subprocess
import sys
import threading
import time
import unittest
import xml.etree.ElementTree
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import report  # noqa: E402
import targets  # noqa: E402
from rows import Rows  # noqa: E402

SECTIONS = list(dict.fromkeys(t.section for t in targets.TARGETS))
LOAD = os.path.join(os.environ.get("DYN_BUILD", "."), "bench_load")


def recorded():
    """Two rounds of the first section as they were once measured; in the second everything took twice as long."""
    rows = Rows()
    for round_, slow in (0, 1), (1, 2):
        for system, rate, cpu in (("redis direct", 600000, 1.6), ("twemproxy", 390000, 2.0), ("dynomited", 480000, 1.5)):
            rows.add("front", system, "GET P16", round_, "redis direct", rate=rate / slow, cpu=cpu * slow)
    return rows


def target(words):
    found, = [t for t in targets.TARGETS if words in t.words]
    return found


def rows_at_limits(factor):
    """Every row that a target looks at, so that all figures are `factor` times as good as the limit asks (1: just met)."""
    rows = Rows()
    for number, t in enumerate(targets.TARGETS):
        section, figure, good = f"case {number}", t.figure, 1 / factor if t.at_most else factor
        reference = getattr(figure, "reference", None)
        if reference:
            rows.add(section, *reference, 0, **{figure.metric: 7.0})
        level = figure.level(rows, section, t.limit * good)
        rows.add(section, figure.system, figure.work, 0, **{figure.metric: level})
        yield targets.judge(rows, targets.Target(section, t.words, t.limit, t.unit, figure, t.at_most))


class Judgement(unittest.TestCase):
    def test_nothing_measured_is_nothing_met(self):
        verdicts = targets.judge_all(Rows(), SECTIONS)
        self.assertEqual(len(verdicts), len(targets.TARGETS))
        self.assertFalse(any(v.met for v in verdicts))
        self.assertEqual(targets.exit_status(verdicts), 1)
        self.assertEqual(targets.exit_status([]), 1)

    def test_recorded_rows(self):
        cpu = targets.judge(recorded(), target("front of redis, GET P16: CPU"))
        self.assertAlmostEqual(cpu.measured, 0.75)  # of each round, not of sums over rounds
        self.assertTrue(cpu.met)
        self.assertAlmostEqual(cpu.margin, 0.0625)
        rate = targets.judge(recorded(), target("front of redis, GET P16: throughput"))
        self.assertAlmostEqual(rate.measured, 0.8)
        self.assertEqual((rate.low, rate.high), (0.8, 0.8))

    def test_a_round_without_its_reference_does_not_count(self):
        rows = recorded()
        rows.add("front", "dynomited", "GET P16", 2, "redis direct", rate=1.0, cpu=99.0)
        self.assertAlmostEqual(targets.judge(rows, target("front of redis, GET P16: CPU")).measured, 0.75)

    def test_every_target_at_its_limit(self):
        for verdict in rows_at_limits(1.001):
            self.assertTrue(verdict.met, verdict.target.words)
        self.assertEqual(targets.exit_status(list(rows_at_limits(1.001))), 0)

    def test_every_target_beyond_its_limit(self):
        for verdict in rows_at_limits(0.99):
            self.assertFalse(verdict.met, verdict.target.words)
            self.assertLess(verdict.margin, 0)

    def test_one_missed_is_enough(self):
        verdicts = list(rows_at_limits(1.001))
        self.assertEqual(targets.exit_status(verdicts[:-1] + list(rows_at_limits(0.99))[-1:]), 1)
        self.assertEqual(targets.exit_status(verdicts + [targets.judge(Rows(), targets.TARGETS[0])]), 1)


class Reports(unittest.TestCase):
    section = SimpleNamespace(slug="front", title="A & B", panels=((report.Column("requests/s", "rate"), ("GET P16",)),),
                              columns=(report.Column("requests/s", "rate", 0, spread=True),))

    def test_table(self):
        rows = recorded()
        rows.add_cannot("front", "nobody", "SET P1", "no such program")
        lines = report.table(rows, self.section).splitlines()
        self.assertEqual(lines[-3], "| GET P16 | dynomited | 0.80 | 360,000 (240,000–480,000) |")
        self.assertEqual(lines[-1], "Not measured: nobody SET P1: no such program")

    def test_targets(self):
        verdicts = [v for v in targets.judge_all(recorded(), ["front"]) if v.target.words.endswith("throughput")]
        lines = report.target_table(verdicts).splitlines()
        self.assertTrue(lines[2].endswith("| at least 0.75 x redis direct | 0.8 | met by 7% |"), lines[2])
        self.assertTrue(lines[3].endswith("| not measured | **not measured** |"), lines[3])

    def test_picture(self):
        tree = xml.etree.ElementTree.fromstring(report.draw(recorded(), self.section))
        named = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}title")]
        self.assertEqual(named, ["GET P16, redis direct: 450k", "GET P16, twemproxy: 292k", "GET P16, dynomited: 360k"])


def answer(connection, stall):
    """+OK for every SET; once, in the middle, nothing for a while."""
    commands, pending = 0, b""
    while data := connection.recv(65536):
        pending += data
        n = pending.count(b"SET")
        pending = pending[pending.rfind(b"SET") + 3:] if n else pending
        if commands < 300 <= commands + n:
            time.sleep(stall)
        commands += n
        connection.sendall(b"+OK\r\n" * n)


class Load(unittest.TestCase):
    def run_against(self, stall, *words):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                connection, _ = server.accept()
                with connection:
                    answer(connection, stall)
            thread = threading.Thread(target=serve)
            thread.start()
            port = str(server.getsockname()[1])
            done = subprocess.run([LOAD, words[0], port, *words[1:]], capture_output=True, text=True, timeout=60, check=True)
            thread.join()
        return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}

    def test_a_stall_meets_all_that_was_due_meanwhile(self):
        figures = self.run_against(0.3, "paced", "1", "500", "2")  # 150 of 1,000 requests
        self.assertGreater(figures["max"], 299)
        self.assertGreater(figures["p99"], 250)

    def test_alone_only_one_meets_it(self):
        figures = self.run_against(0.3, "alone", "1000")
        self.assertGreater(figures["max"], 299)
        self.assertLess(figures["p99"], 250)

    def test_a_server_that_hangs_up_is_no_result(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=lambda: server.accept()[0].close())
            thread.start()
            port = str(server.getsockname()[1])
            done = subprocess.run([LOAD, "paced", port, "1", "100", "1"], capture_output=True, check=False)
            thread.join()
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, b"")


if __name__ == "__main__":
    unittest.main()
