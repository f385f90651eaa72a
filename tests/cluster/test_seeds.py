"""Seeds from a name server and from an HTTP server, both real: what is found, what isn't, and that it is tried for ever."""
import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time

import pytest
import rig

HERE = os.path.dirname(os.path.abspath(__file__))


class Printer:
    """print_seeds: a line for each lookup."""

    def __init__(self, *flags, before=()):
        self.process = subprocess.Popen([*before, f"{rig.BUILD}/print_seeds", *flags], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines, self.log = queue.Queue(), []
        self.threads = [threading.Thread(target=self.read, args=(self.process.stdout, self.lines.put)),
                        threading.Thread(target=self.read, args=(self.process.stderr, self.log.append))]
        for t in self.threads:
            t.start()

    @staticmethod
    def read(stream, take):
        for line in stream:
            take(line.rstrip("\n"))

    def __enter__(self):
        return self

    def until(self, wanted, deadline=20.0):
        """Lines come until one says just that."""
        end, seen = time.monotonic() + deadline, []
        while time.monotonic() < end:
            try:
                seen.append(self.lines.get(timeout=0.2))
            except queue.Empty:
                continue
            if seen[-1] == ("seeds: " + " ".join(wanted)).rstrip() or (not wanted and seen[-1] == "seeds:"):
                return
        raise AssertionError(f"no line with {wanted}, but {seen[-5:]}; {self.log[-5:]}")

    def until_log(self, text, deadline=20.0):
        rig.wait_until(lambda: any(text in line for line in self.log), f"'{text}' in {self.log}", deadline)

    def end(self, deadline=10.0):
        start = time.monotonic()
        self.process.stdin.close()
        assert self.process.wait(deadline) == 0
        return time.monotonic() - start

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for t in self.threads:
            t.join()


# ---- names ---------------------------------------------------------------------------------------

def namespaces():
    """May this user have them?"""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "--net", "true"], check=False,
                                                capture_output=True).returncode == 0


class Zone:
    def __init__(self, directory):
        self.path = os.path.join(directory, "zone.json")
        self.set({})

    def set(self, names):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(names, f)
        os.rename(self.path + ".new", self.path)

    def asked(self):
        """How many questions came."""
        try:
            return os.path.getsize(self.path + ".asked")
        except FileNotFoundError:
            return 0

    def printer(self, *flags):
        before = ["unshare", "--mount", "--net", sys.executable, f"{HERE}/name_server.py", self.path]
        return Printer("--dyn-seed-provider", "dns_provider", *flags, before=before)


@pytest.fixture
def zone(tmp_path):
    if not namespaces():
        pytest.skip("needs network and mount namespaces (root)")
    return Zone(str(tmp_path))


def test_a_name_gives_addresses_and_texts(zone):
    zone.set({"seeds.test": {"A": ["10.0.0.1", "10.0.0.2"], "AAAA": ["fd00::3"]}})
    with zone.printer("--seeds-name", "seeds.test", "--dyn-listen", "10.0.0.2:7101") as p:
        # the port of peers is this node's; itself it doesn't name; addresses come in the order of getaddrinfo
        rig.wait_until(lambda: not p.lines.empty(), "a lookup")
        first = p.lines.get()
        assert sorted(first.split()[1:]) == ["10.0.0.1:7101", "[fd00::3]:7101"]
        # a text tells the place; the same address without one is no second seed
        zone.set({"seeds.test": {"A": ["10.0.0.1"], "TXT": [["10.0.0.1:7101:r1:dc:5", "6|h:1:r2:dc:7"], ["v=spf1 -all"]]}})
        p.until(["10.0.0.1:7101/r1/dc/56", "h:1/r2/dc/7"])
        p.until_log("1 entries passed over: found v=spf1 -all")
        assert p.end() < 5


def test_a_name_without_addresses_may_have_texts_and_a_port_is_its_own(zone):
    zone.set({"_dynomite.test": {"TXT": [["h:1:r:dc:7"]]}, "a.test": {"A": ["10.0.0.9"]}})
    with zone.printer("--seeds-name", "_dynomite.test") as p:
        p.until(["h:1/r/dc/7"])
    with zone.printer("--seeds-name", "a.test:9101") as p:
        p.until(["10.0.0.9:9101"])


def test_many_seeds_come_by_tcp(zone):
    entries = [f"10.1.{i // 250}.{i % 250}:8101:r{i}:dc:{i}" for i in range(900)]
    texts = ["|".join(entries[i:i + 9]) for i in range(0, 900, 9)]
    zone.set({"seeds.test": {"TXT": [[t[i:i + 255] for i in range(0, len(t), 255)] for t in texts]}})
    with zone.printer("--seeds-name", "seeds.test") as p:
        p.until([f"10.1.{i // 250}.{i % 250}:8101/r{i}/dc/{i}" for i in range(900)])


def test_a_name_is_asked_for_until_it_is_there_and_what_was_found_stays(zone):
    with zone.printer("--seeds-name", "seeds.test", "--dyn-seeds", "s:1:r:dc:3") as p:
        p.until(["s:1/r/dc/3"])
        p.until_log("no seeds from seeds.test (")
        p.until(["s:1/r/dc/3"])
        zone.set({"seeds.test": {"A": ["10.0.0.1"]}})
        p.until(["s:1/r/dc/3", "10.0.0.1:8101"])
        for say in "failure", "nonsense", "silence":
            zone.set({"seeds.test": {"say": say}})
            before = zone.asked()
            rig.wait_until(lambda: zone.asked() > before, f"a question that gets {say}")
            while not p.lines.empty():
                p.lines.get()
            p.until(["s:1/r/dc/3", "10.0.0.1:8101"])
        zone.set({"seeds.test": {"A": ["10.0.0.2"]}})
        p.until(["s:1/r/dc/3", "10.0.0.2:8101"])
        assert len([x for x in p.log if "no seeds from" in x]) < 8, "each outcome is told once"


def test_a_silent_name_server_delays_no_end_for_long(zone):
    zone.set({"seeds.test": {"say": "silence"}})
    with zone.printer("--seeds-name", "seeds.test") as p:
        rig.wait_until(lambda: zone.asked(), "a question")
        assert p.end() < 8


# ---- HTTP ----------------------------------------------------------------------------------------

class Site:
    """Serves what `reply` does with the handler."""

    def __init__(self):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.paths.append(self.path)
                try:
                    site.reply(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # who asked has enough

            def log_message(self, *args):
                pass

        self.paths, self.reply, self.over = [], self.text(200, ""), threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/REST/v1/admin/get_seeds"

    @staticmethod
    def text(status, body, headers=()):
        def reply(h):
            h.send_response(status)
            for name, value in headers:
                h.send_header(name, value)
            h.end_headers()
            h.wfile.write(body.encode())
        return reply

    def hang(self, h):
        self.over.wait(30)

    def drip(self, h):
        h.send_response(200)
        h.end_headers()
        while not self.over.wait(0.1):
            h.wfile.write(b" ")

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site():
    s = Site()
    yield s
    s.close()


def florida(site, *flags):
    return Printer("--dyn-seed-provider", "florida_provider", "--seeds-url", site.url, *flags)


def test_a_list_over_http(site):
    site.reply = site.text(200, "10.0.0.1:8101:r1:dc:0|10.0.0.2:8101:r2:dc:7\n|nonsense\n")
    with florida(site, "--dyn-listen", "10.0.0.2:8101", "--dyn-seeds", "s:1:r:dc:3") as p:
        p.until(["s:1/r/dc/3", "10.0.0.1:8101/r1/dc/0"])
        p.until_log("1 entries passed over: found nonsense")
        site.reply = site.text(200, "10.0.0.3:8101:r1:dc:0")
        p.until(["s:1/r/dc/3", "10.0.0.3:8101/r1/dc/0"])
        assert set(site.paths) == {"/REST/v1/admin/get_seeds"}
        assert p.end() < 5


def test_a_bad_answer_is_told_and_asked_for_again(site):
    bad = [(site.text(500, "h:1:r:dc:7"), "HTTP status 500"),
           (site.text(204, ""), "HTTP status 204"),
           (site.text(302, "", [("Location", "file:///etc/passwd")]), "HTTP status 302"),
           (site.text(200, "<html>sorry</html>"), "found <html>sorry</html>; allowed host:port:rack:dc:tokens"),
           (site.text(200, "h:1:r:dc:7|" * 200000), "the answer has more than 1048576 bytes"),
           (site.text(200, "h:1:r:dc:7", [("Content-Length", "5000000")]), "no seeds from")]
    with florida(site) as p:
        for reply, said in bad:
            site.reply = reply
            p.until_log(said)
        assert all(line == "seeds:" for line in list(p.lines.queue))
        site.reply = site.text(200, "h:1:r:dc:7")
        p.until(["h:1/r/dc/7"])


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_site_that_never_ends_is_left_after_some_seconds(site, how):
    site.reply = getattr(site, how)
    with florida(site) as p:
        p.until_log("timed out")
        site.reply = site.text(200, "h:1:r:dc:7")
        p.until(["h:1/r/dc/7"])


def test_nodes_find_each_other_by_a_list(site):
    """Neither names the other; the list has both."""
    c = rig.Cluster(2, seeds=[[], []], flags={"gos-interval": "300", "dyn-seed-provider": "florida_provider",
                                              "seeds-url": site.url})
    entries = [f"127.0.0.1:{n.peer_port}:rack{i + 1}:dc1:0" for i, n in enumerate(c.nodes)]
    site.reply = site.text(500, "not yet")
    try:
        for n in c.nodes:
            n.start()
        for n in c.nodes:
            rig.wait_until(lambda n=n: "no seeds from" in n.log_text(), f"{n.name} has nobody to ask")
            assert n.states_of_peers() == []
        site.reply = site.text(200, "|".join(entries))
        for n in c.nodes:
            rig.wait_until(lambda n=n: n.state() == "NORMAL" and n.states_of_peers() == ["NORMAL"],
                           f"{n.name} has found the other")
        c.nodes[0].client().set("k", "v")
        rig.wait_until(lambda: rig.copies(c.nodes[1], "k") == [rig.copies(c.nodes[1], "k")[0]] * 2, "both have it")
        for n in c.nodes:  # what was found stays while the site is gone
            assert sum("no seeds from" in line for line in n.log_text().splitlines()) == 1
    finally:
        c.end_all()


def test_nobody_there_is_no_end():
    port = rig.free_ports(1)[0]
    with Printer("--dyn-seed-provider", "florida_provider", "--seeds-url", f"http://127.0.0.1:{port}/") as p:
        p.until([])
        p.until_log("no seeds from")
        p.until([])
        assert p.end() < 5
