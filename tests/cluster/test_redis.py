"""A Redis behind each node: pass-through, refusals, a backend that is full or gone."""
import pytest
import redis
import rig


@pytest.fixture(scope="module")
def cluster():
    with rig.Cluster(3, store="redis") as c:
        yield c


def test_redis_types_are_replicated(cluster):
    a = cluster.nodes[0].client()
    a.hset("h", mapping={"f": 1, "g": 2})
    a.rpush("l", 1, 2, 3)
    a.zadd("z", {"x": 1})
    a.rename("l", "l2")
    assert a.execute_command("XADD", "st", "1-1", "f", "v") == b"1-1"
    for backend in cluster.backends:
        own = backend.client()
        rig.wait_until(lambda own=own: own.xlen("st") == 1, "the last write is everywhere")
        assert own.hgetall("h") == {b"f": b"1", b"g": b"2"} and own.lrange("l2", 0, -1) == [b"1", b"2", b"3"]
        assert own.zrange("z", 0, -1) == [b"x"] and not own.exists("l")


@pytest.mark.parametrize("words,reason", [
    (("SPOP", "s"), "isn't determined"), (("XADD", "st", "*", "f", "v"), "isn't determined"),
    (("BLPOP", "q", "0"), "blocks"), (("WATCH", "k"), ""), (("SUBSCRIBE", "c"), ""),
    (("SET", "__dynomited:seq", "1"), "server's own")])
def test_redis_refused_with_a_reason(cluster, words, reason):
    c = cluster.nodes[0].client()
    with pytest.raises(redis.ResponseError, match=reason):
        c.execute_command(*words)
    assert c.ping()


def test_redis_own_keys_are_hidden(cluster):
    c = cluster.nodes[0].client()
    c.set("seen", 1)
    own = cluster.backends[0].client()
    assert own.exists("__dynomited:seq")
    keys = set(c.scan_iter())
    assert b"seen" in keys and b"__dynomited:seq" not in keys
    assert c.dbsize() == own.dbsize() - 1


def test_redis_full_backend_stops_delivery_and_goes_on():
    with rig.Cluster(3, store="redis") as c:
        a, b, _ = c.nodes
        own = c.backends[0].client()
        own.config_set("maxmemory", "1mb")
        with pytest.raises(redis.ResponseError, match="OOM"):
            a.client().set("mine", "x")
        for i in range(20):
            assert b.client().incr("n") == i + 1
        rig.wait_until(lambda: "refuses writes of peers" in a.log_text(), "node 1 says why")
        own.config_set("maxmemory", "0")
        c.wait_linked()
        c.wait_delivered()
        assert own.get("n") == b"20" and own.get("mine") is None


def test_redis_unreachable_at_start():
    with rig.Cluster(1, store="redis") as c:
        n = c.nodes[0]
        n.stop()
        c.backends[0].kill()
        n.start()
        with pytest.raises(redis.ResponseError, match="BACKEND"):
            n.client().get("k")
        with pytest.raises(redis.ResponseError, match="BACKEND"):
            n.client().set("k", "v")
        with pytest.raises(OSError):
            n.http("/readyz")
        c.backends[0].start()
        rig.wait_until(lambda: n.http("/readyz") and n.client().set("k", "v"), "it is ready again")
