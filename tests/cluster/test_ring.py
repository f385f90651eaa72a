"""What covers the whole ring: SCAN, KEYS, DBSIZE, RANDOMKEY, FLUSHALL, SCRIPT and FUNCTION, from any node."""
import random
import signal
import threading
import time

import pytest
import redis
import rig
import wire
from test_racks import UNEVEN, owners, tokens_of

ALLOW = {"allow-flush": "true"}
ALONE = [("dc1", "rack1", "0")]
THREE = [("dc1", f"rack{i}", "0") for i in (1, 2, 3)]


def fill(client, keys):
    p = client.pipeline(transaction=False)
    for k in keys:
        p.set(k, "v")
    p.execute()


def scan(nodes, rng, **options):
    """One loop of SCAN, each page from another node."""
    cursor, told = 0, []
    while True:
        cursor, page = rng.choice(nodes).client().scan(cursor, count=rng.choice((1, 7, 50, 400)), **options)
        told += page
        if cursor == 0:
            return told
        assert cursor < 1 << 63


def check_all_told(cluster, keys, rng):
    """By every node, each key once."""
    want = sorted(keys)
    for node in cluster.running():
        c = node.client()
        assert c.dbsize() == len(keys), node.name
        assert sorted(c.keys("*")) == want, node.name
        assert c.randomkey() in keys
    assert sorted(scan(cluster.running(), rng)) == want
    c = rng.choice(cluster.running()).client()
    assert sorted(c.keys("*7")) == sorted(scan(cluster.running(), rng, match="*7")) == sorted(k for k in keys if k.endswith(b"7"))
    assert sorted(scan(cluster.running(), rng, _type="string")) == want and scan(cluster.running(), rng, _type="list") == []


@pytest.mark.parametrize("store", ["embedded", "redis"])
@pytest.mark.parametrize("places", [ALONE, THREE, UNEVEN], ids=["1", "3", "6"])
def test_ring_every_key_is_told_exactly_once(store, places):
    """From every node, with cursors that go from node to node, with nodes down, and with keys in a store that aren't its
    node's (any more)."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    with rig.Cluster(places=places, store=store) as c:
        client = c.nodes[rng.randrange(len(places))].client()
        assert client.dbsize() == 0 and client.keys() == [] and client.randomkey() is None and scan(c.nodes, rng) == []
        keys = {b"%d" % rng.randrange(1 << 40) for _ in range(rng.randrange(700, 2000))}
        fill(client, keys)
        assert client.dbsize() == len(keys), "a connection counts what it has just written"
        c.wait_delivered()
        check_all_told(c, keys, rng)
        if store == "redis" and len(places) > len(THREE):
            strange = [f"strange{i}" for i in range(50)]
            for k, token in tokens_of(strange).items():
                c.backends[rng.choice([i for i in range(6) if i not in owners(places, token)])].client().set(k, "x")
            check_all_told(c, keys, rng)
        if len(places) == 1:
            return
        for node in rng.sample(c.nodes, 1 if len(places) == 3 else 2):  # of racks of one and of two nodes, mostly
            if len({owners_left(places, c, node, t) for t in tokens_of([k.decode() for k in keys]).values()} & {0}):
                continue
            node.kill()
            for n in c.running():
                rig.wait_until(lambda n=n: n.states_of_peers().count("DOWN") == len(places) - len(c.running()), f"{n.name} knows")
            check_all_told(c, keys, rng)


def owners_left(places, cluster, without, token):
    """How many owners are up, but for this one."""
    return sum(cluster.nodes[i].process is not None and cluster.nodes[i] is not without for i in owners(places, token))


def test_ring_what_stays_is_told_while_others_come_and_go_and_nodes_too():
    with rig.Cluster(places=UNEVEN) as c:
        stays = {b"stays%d" % i for i in range(1500)}
        fill(c.nodes[1].client(), stays)
        c.wait_delivered()
        rng, told, cursor, calls = random.Random(7), set(), 0, 0
        while calls == 0 or cursor:
            node = c.nodes[rng.choice((1, 2))]
            cursor, page = node.client().scan(cursor, count=20)
            told.update(page)
            calls += 1
            node.client().set(f"comes{calls}", "x")
            node.client().delete(f"comes{calls - 3}")
            if calls == 20:
                c.nodes[0].kill()  # the only one of the first rack
            if calls == 60:
                c.nodes[0].start()
            assert calls < 3000
        assert told >= stays and calls > 60
        c.wait_linked()
        c.wait_delivered()
        check_all_told(c, set(c.nodes[2].client().keys()), rng)


def test_ring_bounds():
    """A cursor that is none; more keys than a reply may have; who is silent."""
    with rig.Cluster(flags={"client-output-max-bytes": "20000", "timeout": "1500"}) as c:
        node = c.nodes[1]
        fill(node.client(), [f"key:{i:020}" for i in range(1000)])
        rig.wait_until(lambda: node.client().dbsize() == 1000, "who tells has all keys")  # written at DC_ONE
        with wire.Wire(node.client_port) as w:
            for cursor in ("x", "-1", "1x", "18446744073709551616", str((1 << 64) - 1), str(1 << 62 | 1 << 50)):
                got = w.ask("SCAN", cursor)
                assert got == b"-ERR invalid cursor\r\n" or (cursor.isdigit() and int(cursor) < 1 << 63), (cursor, got)
            assert w.ask("SCAN", "0", "COUNT", "0") == b"-ERR syntax error\r\n"
            assert w.ask("KEYS", "*") == b"-ERR more than 20000 bytes of replies (client_output_max_bytes); SCAN tells them bit by bit\r\n"
            assert w.ask("KEYS", "*99").startswith(b"*10\r\n") and w.ask("DBSIZE") == b":1000\r\n"
            assert w.ask("KEYS") == b"-ERR wrong number of arguments for 'keys' command\r\n"
        silent = c.nodes[0]
        rig.freeze(silent.process)  # it would tell; another one does so in its place
        try:
            began = time.monotonic()
            assert node.client().dbsize() == 1000
            assert len(list(node.client().scan_iter(count=500))) == 1000
            assert time.monotonic() - began < 15
        finally:
            silent.process.send_signal(signal.SIGCONT)
    with rig.Cluster(places=[("dc1", "rack1", "0"), ("dc1", "rack1", str(1 << 31))], flags={"timeout": "700"}) as c:
        fill(c.nodes[0].client(), [f"key{i}" for i in range(100)])
        other = c.nodes[1]
        rig.freeze(other.process)  # nobody else has its keys
        try:
            with pytest.raises(redis.ResponseError, match="^(TIMEOUT no answer within 700 ms|NOQUORUM )"):
                c.nodes[0].client().dbsize()
            assert c.nodes[0].client().ping()
        finally:
            other.process.send_signal(signal.SIGCONT)


# ---- FLUSHALL -----------------------------------------------------------------------------------

def test_ring_flush_is_refused_until_it_is_allowed():
    with rig.Cluster(n=1) as c:
        node, client = c.nodes[0], c.nodes[0].client()
        client.set("k", "v")
        for command in ("FLUSHALL", "FLUSHDB"):
            with pytest.raises(redis.ResponseError, match=f"^{command} isn't allowed; allow_flush: true in the configuration allows it$"):
                client.execute_command(command)
        assert client.get("k") == b"v"
        assert node.admin_run("config", "set", "allow_flush", "true").returncode == 0
        with pytest.raises(redis.ResponseError, match="syntax error"):
            client.execute_command("FLUSHALL", "NOW")
        assert client.execute_command("FLUSHALL", "SYNC") and client.get("k") is None


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_ring_flush_with_late_hints_and_kills(store):
    """Old doesn't come back, new isn't lost, in whatever order hints come; numbers survive it."""
    with rig.Cluster(places=UNEVEN, store=store, flags=ALLOW) as c:
        a, b = c.nodes[1], c.nodes[4]
        fill(a.client(), [f"old{i}" for i in range(800)])
        victims = [c.nodes[0], c.nodes[5]]
        for v in victims:
            v.kill()
        for n in (a, b):
            rig.down(n, 2)
        fill(b.client(), [f"old{i}" for i in range(500)])  # hints that are older than the flush
        assert a.client().flushall()
        assert a.client().dbsize() == 0, "a connection sees what it has done"
        rig.wait_until(lambda: b.client().dbsize() == 0, "it is everywhere")
        new = {b"old%d" % i for i in range(0, 200)} | {b"new%d" % i for i in range(200)}
        fill(b.client(), new)
        for n in c.running():
            assert n.admin_run("hints", "pause", "all").returncode == 0
        for n, other in ((b, a), (a, b)):  # one gets what is newer before the flush
            n.admin_run("hints", "resume", "all")
            victim = victims.pop()
            victim.start()
            rig.wait_until(lambda n=n, v=victim: pending_for(n, v) == 0, f"{victim.name} has the hints of {n.name}")
            other.admin_run("hints", "resume", "all")
            if victims:
                other.admin_run("hints", "pause", "all")
        for n in c.running():
            n.admin_run("hints", "resume", "all")
        a.kill()
        a.start()
        c.wait_linked()
        c.wait_delivered()
        check_all_told(c, new, random.Random(1))
        token = tokens_of([k.decode() for k in new])
        for i in (0, 5):
            mine = [k for k in token if i in owners(UNEVEN, token[k])]
            assert mine and all(v == b"v" for v in rig.own_values(c, i, mine).values())
        for backend in c.backends:
            own = backend.client()
            assert own.dbsize() - 1 == len([k for k in own.keys() if k in new]) and own.hlen("__dynomited:seq") == 7
        assert b.client().incr("after") == 1
        rig.wait_until(lambda: all(n.client().get("after") == b"1" for n in c.nodes), "writes go on, once")


def pending_for(node, peer):
    return next(p["pending"] for p in node.admin("hints")["peers"] if p["address"] == f"127.0.0.1:{peer.peer_port}")


def test_ring_flush_of_a_lone_redis():
    """In order with what stands around it in a pipeline; our own keys stay."""
    with rig.Cluster(n=1, store="redis", flags=ALLOW) as c:
        p = c.nodes[0].client().pipeline(transaction=False)
        for _ in range(3):
            p.set("a", 1).flushall().set("b", 2).get("a").dbsize().keys("*").randomkey().flushdb(asynchronous=True).dbsize()
        assert p.execute() == [True, True, True, None, 1, [b"b"], b"b", True, 0] * 3
        own = c.backends[0].client()
        assert own.keys() == [b"__dynomited:seq"] and own.hlen("__dynomited:seq") >= 1


def test_ring_flush_at_each_level():
    """A level counts for a flush as for a write of any key."""
    with rig.Cluster(flags={**ALLOW, "sloppy-quorum": "false"}) as c:
        node = c.nodes[0]
        for level, up in (("DC_ONE", 2), ("DC_QUORUM", 2), ("DC_SAFE_QUORUM", 2), ("DC_QUORUM", 1)):
            while len(c.running()) > up:
                c.running()[-1].kill()
                rig.down(node, 3 - len(c.running()))
            node.admin_run("config", "set", "write_consistency", "DC_ONE")
            node.client().set("k", "v")
            node.admin_run("config", "set", "write_consistency", level)
            if up == 2:
                assert node.client().flushall() and node.client().dbsize() == 0, level
                continue
            with pytest.raises(redis.ResponseError, match=r"^NOQUORUM 1 of 2 needed replicas answered \(DC_QUORUM write\); nothing was written"):
                node.client().flushall()
            assert node.client().get("k") == b"v"


@pytest.mark.slow
@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_ring_flushes_among_writes_and_kills(store):
    """Overwrites converge, flushes among them, whatever is killed meanwhile."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng, keys, over = random.Random(seed), [f"k{i}" for i in range(300)], threading.Event()
    with rig.Cluster(store=store, flags={**ALLOW, "timeout": "2000"}) as c:
        def write(k):
            mine = random.Random(seed + k)
            while not over.is_set():
                try:
                    client = mine.choice(c.nodes).client()
                    for _ in range(60):
                        dice, key = mine.random(), mine.choice(keys)
                        if dice < 0.02:
                            client.flushall()
                        elif dice < 0.2:
                            client.delete(key)
                        else:
                            client.set(key, f"{k}.{mine.random()}")
                except (OSError, redis.RedisError):
                    time.sleep(0.02)  # it is down: the next one

        writers = [threading.Thread(target=write, args=(k,)) for k in range(4)]
        for w in writers:
            w.start()
        try:
            end = time.monotonic() + 12
            while time.monotonic() < end:
                time.sleep(rng.random())
                if c.backends and rng.random() < 0.4:
                    backend = rng.choice(c.backends)
                    backend.kill()
                    backend.start()
                else:
                    node = rng.choice(c.nodes)
                    node.kill()
                    time.sleep(rng.random() * 2)
                    node.start(wait=False)
        finally:
            over.set()
            for w in writers:
                w.join()
        for n in c.nodes:
            rig.wait_until(lambda n=n: n.alive() and n.client().ping(), f"{n.name} answers")
        c.wait_linked()
        c.wait_delivered(60)
        rig.wait_until(lambda: all(v == rig.own_values(c, 0, keys) for v in [rig.own_values(c, i, keys) for i in (1, 2)]),
                       "all replicas have the same")
        live = {k for k, v in rig.own_values(c, 0, keys).items() if v is not None}
        for n in c.nodes:
            assert {k.decode() for k in n.client().keys()} == live and n.client().dbsize() == len(live)


# ---- scripts and functions ------------------------------------------------------------------------

LIBRARY = "#!lua name=counts\nredis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)\n"


def test_ring_scripts_and_functions_are_on_every_node():
    with rig.Cluster(places=THREE, store="redis") as c:
        a, late = c.nodes[0].client(), c.nodes[2]
        late.kill()
        rig.down(c.nodes[0])
        sha = a.script_load("return redis.call('INCR', KEYS[1])")
        assert a.execute_command("FUNCTION", "LOAD", LIBRARY) == b"counts"
        for wrong, text in ((("FUNCTION", "LOAD", LIBRARY), "^Library 'counts' already exists"), (("FUNCTION", "LOAD", "x"), "^Missing library metadata"),
                            (("SCRIPT", "LOAD", "x x"), "^Error compiling script"), (("SCRIPT", "NO"), "^unknown subcommand 'NO'. Try SCRIPT HELP."),
                            (("SCRIPT", "LOAD"), "^wrong number of arguments for 'script.load' command"), (("SCRIPT", "KILL"), "^'SCRIPT KILL' isn't supported"),
                            (("FUNCTION", "DELETE", "none"), "^Library not found")):
            with pytest.raises(redis.ResponseError, match=text):
                a.execute_command(*wrong)
        late.start()
        c.wait_linked()
        c.wait_delivered()
        for i, node in enumerate(c.nodes):
            n = node.client()
            assert n.evalsha(sha, 1, f"s{i}") == 1 and n.execute_command("FCALL", "add", 1, f"f{i}", 5) == 5
            assert n.script_exists(sha, "0" * 40) == [True, False]
            assert len(c.backends[i].client().execute_command("FUNCTION", "LIST")) == 1
        dump = a.execute_command("FUNCTION", "DUMP")
        assert c.nodes[1].client().execute_command("FUNCTION", "DELETE", "counts") == b"OK"
        own = [backend.client() for backend in c.backends]
        rig.wait_until(lambda: all(o.execute_command("FUNCTION", "LIST") == [] for o in own), "it is gone everywhere")
        assert late.client().execute_command("FUNCTION", "RESTORE", dump) == b"OK"
        rig.wait_until(lambda: all(len(o.execute_command("FUNCTION", "LIST")) == 1 for o in own), "it is back everywhere")
        own[1].script_flush()  # a Redis that has restarted has no scripts
        assert a.script_exists(sha) == [False] and a.script_load("return redis.call('INCR', KEYS[1])") == sha
        assert a.script_exists(sha) == [True]
        assert a.script_flush() and a.execute_command("FUNCTION", "FLUSH", "SYNC") == b"OK"
        rig.wait_until(lambda: all(o.script_exists(sha) == [False] and o.execute_command("FUNCTION", "LIST") == [] for o in own), "all is gone")
        with pytest.raises(redis.exceptions.NoScriptError):
            a.evalsha(sha, 1, "s")
