"""Exactly once while connections to Redis break at any byte, and what they had sent arrives late."""
import os
import random
import re
import signal
import threading
import time

import pytest
import redis
import rig
from redis_proxy import Proxy

CUTS = 200
COMMANDS = 4    # of each kind in one pipeline


def any_byte(dice):
    """Counted from a connection's greeting; short ones more often, but a whole batch must get through now and then."""
    return int(10 ** dice.uniform(0, 6))


class Writer(threading.Thread):
    """Increments and appends through one node, and knows of each whether it took effect."""

    def __init__(self, node, name, unsure_is_ok=False):
        super().__init__(daemon=True)
        self.client = node.client()
        self.name, self.unsure_is_ok = name, unsure_is_ok
        self.counter, self.string = 0, b""
        self.errors = []
        self.unsure = False
        self.stop = False
        self.written = 0

    def run(self):
        while not self.stop and not self.errors:
            self.one_pipeline()

    def one_pipeline(self):
        pipe = self.client.pipeline(transaction=False)
        pieces = [b"%d," % (self.written + i) for i in range(COMMANDS)]
        for piece in pieces:
            pipe.incr("count-" + self.name)
            pipe.append("grown-" + self.name, piece)
        try:
            answers = pipe.execute(raise_on_error=False)
        except (redis.RedisError, OSError) as error:
            self.errors.append(error)
            return
        self.written += COMMANDS
        for i, answer in enumerate(answers):
            if self.took_effect(answer):
                if i % 2:
                    self.string += pieces[i // 2]
                else:
                    self.counter += 1

    def took_effect(self, answer):
        if not isinstance(answer, Exception):
            return True
        text = str(answer)
        if "nothing was written" in text:
            return False
        if "may still take effect" in text and self.unsure_is_ok:
            self.unsure = True
        elif "took effect" not in text:
            self.errors.append(answer)
        return True


class Popper(Writer):
    """Takes from a list, what a full Redis allows; knows how many are gone."""

    def one_pipeline(self):
        pipe = self.client.pipeline(transaction=False)
        for _ in range(COMMANDS):
            pipe.lpop("list-" + self.name)
        try:
            answers = pipe.execute(raise_on_error=False)
        except (redis.RedisError, OSError) as error:
            self.errors.append(error)
            return
        self.written += COMMANDS
        for answer in answers:
            if answer is None:
                self.errors.append("the list is empty")
            elif self.took_effect(answer):
                self.counter += 1


def cluster_behind(plan, **options):
    """Two nodes, each with a Redis; the second one's stands behind a proxy."""
    c = rig.Cluster(2, store="redis", flags={"workers": 2})
    proxy = Proxy(os.path.join(c.directory, "proxy.sock"), c.backends[1].path, plan, **options)
    c.nodes[1].flags["servers"] = proxy.path + ":1"
    return c, proxy


def compare(c, writers):
    c.wait_linked()
    c.wait_delivered(40)
    first, second = (backend.client() for backend in c.backends)
    for w in writers:
        assert not w.errors, f"{w.name}: {w.errors[:3]}"
        for name in ("count-", "grown-"):
            mine, other = first.get(name + w.name), second.get(name + w.name)
            assert mine == other, f"{name}{w.name}: {tail(mine)} and, behind the proxy, {tail(other)}"
        if not w.unsure:
            assert int(second.get("count-" + w.name) or 0) == w.counter, w.name
            assert (second.get("grown-" + w.name) or b"") == w.string, w.name


def tail(value):
    return value if value is None or len(value) < 20 else b"%d bytes, %s" % (len(value), value[-20:])


def run_until(writers, condition, what):
    for w in writers:
        w.start()
    try:
        rig.wait_until(lambda: condition() or any(w.errors for w in writers), what, 240)
    finally:
        for w in writers:
            w.stop = True
        for w in writers:
            w.join()


@pytest.mark.parametrize("late", [False, True], ids=["before", "while"])
def test_redis_cut_at_any_byte(late):
    """The node's own writes and those of its peer; the old bytes come just before or while the new
    connection goes on."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"seed {seed} (SEED={seed} replays)")
    dice = random.Random(seed)
    cuts = CUTS // 2
    c, proxy = cluster_behind(lambda: any_byte(dice) if proxy.cuts < cuts else None,
                              late=lambda: late)
    with c:
        writers = [Writer(c.nodes[0], "a0"), Writer(c.nodes[1], "b0"), Writer(c.nodes[1], "b1")]
        run_until(writers, lambda: proxy.released >= cuts, f"{cuts} cuts")
        print(f"{proxy.released} cuts, {proxy.stale_bytes} bytes came late, "
              f"{sum(w.written for w in writers)} pipelines' commands")
        assert proxy.stale_bytes > 0
        compare(c, writers)
    proxy.close()


def test_redis_cut_while_it_is_full():
    """Scripts instead of transactions: they are fenced too."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"seed {seed} (SEED={seed} replays)")
    dice = random.Random(seed)
    cuts, elements = 60, 100000
    armed = []
    c, proxy = cluster_behind(lambda: any_byte(dice) if armed and proxy.cuts < cuts else None,
                              late=lambda: dice.random() < 0.5)
    with c:
        poppers = [Popper(c.nodes[0], "a0"), Popper(c.nodes[1], "b0")]
        for p in poppers:
            for i in range(0, elements, 1000):
                p.client.rpush("list-" + p.name, *range(i, i + 1000))
        c.wait_delivered()
        behind = c.backends[1].client()
        for p in poppers:
            rig.wait_until(lambda p=p: behind.llen("list-" + p.name) == elements, "the lists are there")
        behind.config_set("maxmemory", "100kb")
        armed.append(True)
        behind.client_kill_filter(_type="normal", skipme=True)
        run_until(poppers, lambda: proxy.released >= cuts, f"{cuts} cuts")
        print(f"{proxy.released} cuts, {proxy.stale_bytes} bytes came late, "
              f"{[p.counter for p in poppers]} elements gone")
        c.wait_linked()
        c.wait_delivered(40)
        for p in poppers:
            assert not p.errors, p.errors[:3]
            left = [backend.client().llen("list-" + p.name) for backend in c.backends]
            assert left == [elements - p.counter] * 2, p.name
        assert behind.info("commandstats")["cmdstat_eval"]["calls"] > cuts
    proxy.close()


def test_redis_bytes_of_a_killed_node_come_late():
    """kill -9 while the end of a transaction is still on its way to Redis, and a quick start."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"seed {seed} (SEED={seed} replays)")
    dice = random.Random(seed)
    kills, killed = 8, []
    c, proxy = cluster_behind(lambda: any_byte(dice) if len(killed) < kills else None,
                              hold_open=lambda: True)
    with c:
        node = c.nodes[1]
        writers = [Writer(c.nodes[0], "a0"), Writer(c.nodes[0], "a1")]
        for w in writers:
            w.start()
        while len(killed) < kills:
            assert proxy.was_cut.wait(60), "the proxy has a cut transaction"
            node.kill()
            proxy.was_cut.clear()   # here: a node that waits for its store may have been cut twice
            killed.append(proxy.cuts)
            node.start()
        rig.wait_until(lambda: proxy.released >= killed[-1], "all came through")
        for w in writers:
            w.stop = True
        for w in writers:
            w.join()
        print(f"{kills} kills, {proxy.released} cuts, {proxy.stale_bytes} bytes came late")
        compare(c, writers)
    proxy.close()


def read_in_time(node, key, value, seconds):
    """An answer or an error, in any case soon."""
    start = time.monotonic()
    try:
        assert node.client().get(key) == value
    except redis.ResponseError as error:
        assert re.match("TIMEOUT|BACKEND|NOQUORUM", str(error))
    assert time.monotonic() - start < seconds


def test_redis_stopped_gets_no_silence_and_nothing_twice():
    """SIGSTOP: reads in flight get an error in time, peers keep its writes. What lay in its sockets is
    run when it goes on, among the new connections."""
    c = rig.Cluster(2, store="redis", flags={"timeout": "1000"})
    with c:
        a, b = c.nodes
        writers = [Writer(a, name, unsure_is_ok=True) for name in ("a0", "a1")]
        a.client().set("k", "v")
        for w in writers:
            w.start()
        for _ in range(4):
            os.kill(c.backends[1].process.pid, signal.SIGSTOP)
            try:
                read_in_time(b, "k", b"v", 2)
                rig.wait_until(lambda: a.states_of_peers() == ["DOWN"] and a.pending() > 0, "peers keep its writes")
                assert b.client().get("k") == b"v", "another replica is asked"
            finally:
                os.kill(c.backends[1].process.pid, signal.SIGCONT)
            rig.wait_until(lambda: a.states_of_peers() == ["NORMAL"], "it is back")
        for w in writers:
            w.stop = True
        for w in writers:
            w.join()
        compare(c, writers)


def test_redis_killed_and_started_again_under_load():
    """With appendonly and appendfsync always: what was answered is there, once."""
    c = rig.Cluster(2, store="redis")
    with c:
        writers = [Writer(c.nodes[0], "a0"), Writer(c.nodes[1], "b0"), Writer(c.nodes[1], "b1")]
        for w in writers:
            w.start()
        for _ in range(8):
            before = writers[1].written
            rig.wait_until(lambda: writers[1].written > before + 40 or writers[1].errors, "writes go on")
            c.backends[1].kill()
            c.backends[1].start()
        for w in writers:
            w.stop = True
        for w in writers:
            w.join()
        compare(c, writers)
