"""Redis is the oracle: random commands over all types (commands.py), in RESP2 and RESP3, are answered by dynomited as by a
bare redis-server, byte by byte. DYN_SEED=n replays a run.

Two lists say what isn't compared byte by byte. UNSPECIFIED: what two Redis servers wouldn't agree in, either (that it holds
no more is checked with two of them). DIFFERENCES: what this server does otherwise, and why."""
import os
import random
import re
import time

import pytest
import rig
from commands import Commands, Keys
from wire import Wire, command

COUNT = 100000 if rig.LONG else 20000
BATCH = 50
TOLERANCE_MS = 5000  # lifetimes: the servers get a command at different moments

# ---- what two Redis servers don't agree in -------------------------------------------------------


def parts(reply):
    """The header of an array, a set or a map, and its elements; of others the reply and nothing."""
    head, _, rest = reply.partition(b"\r\n")
    if head[:1] not in (b"*", b"~", b"%") or head[1:2] == b"-":
        return reply, []
    elements = []
    while rest:
        size = size_of(rest, 0)
        elements.append(rest[:size])
        rest = rest[size:]
    return head, elements


def size_of(data, at):
    """Where the reply that begins at `at` ends."""
    end = data.index(b"\r\n", at) + 2
    kind, n = data[at:at + 1], data[at + 1:end - 2]
    if kind in (b"$", b"=") and n != b"-1":
        return end + int(n) + 2
    if kind in (b"*", b"~", b"%") and n != b"-1":
        for _ in range(int(n) * (2 if kind == b"%" else 1)):
            end = size_of(data, end)
    return end


def in_any_order(words, reply):
    head, elements = parts(reply)
    return head, sorted(elements)


def pairs_in_any_order(words, reply):
    head, elements = parts(reply)
    if elements and elements[0][:1] == b"*":  # nested, in RESP3
        return head, sorted(elements)
    return head, sorted(zip(elements[::2], elements[1::2]))


def only_kind(words, reply):
    """An error to the letter; of others whether it is nothing, and of arrays how many."""
    return reply if reply[:1] == b"-" else reply.partition(b"\r\n")[0] if reply[:1] in (b"*", b"~", b"_") else reply[:2] == b"$-"


def scan(words, reply):
    head, elements = parts(reply)
    if len(elements) != 2:
        return reply
    return head, elements[0], (pairs_in_any_order if words[0].upper() in (b"HSCAN", b"ZSCAN") else in_any_order)(words, elements[1])


def without_time(words, reply):
    """Milliseconds since something, and moments."""
    reply = re.sub(rb"((?:idle|seen-time)\r\n):\d+", rb"\1:T", reply)
    return re.sub(rb":1\d{12}\r\n", b":T\r\n", reply)


def pending_without_time(words, reply):
    """Each entry: id, consumer, milliseconds since, how often."""
    head, entries = parts(reply)
    if len(words) < 4 or not all(e[:4] == b"*4\r\n" for e in entries):
        return reply
    return head, [parts(e)[1][:2] + parts(e)[1][3:] for e in entries]


def dumped(words, reply):
    """The order of a hash table's elements, and the moments in a stream's groups."""
    return reply if reply[:2] in (b"$-", b"_\r") or reply[:1] == b"-" else (len(reply), reply[:reply.index(b"\n") + 2])


def by_nothing(words, reply):
    """BY something that isn't a pattern: the elements of a set stay in the order of its table."""
    plain = any(w.upper() == b"BY" and b"*" not in words[i + 1] for i, w in enumerate(words[:-1]))
    return in_any_order(words, reply) if plain else reply


def libraries(words, reply):
    return dumped(words, reply) if words[1:2] and words[1].upper() == b"DUMP" else in_any_order(words, reply)


def own_id(words, reply):
    return re.sub(rb"(\$2\r\nid\r\n):\d+", rb"\1:N", reply)


def is_number(words, reply):
    return reply if reply[:1] != b":" else b":"


def some_id(words, reply):
    return re.sub(rb"^\$\d+\r\n\d{13}-\d+\r\n$", b"id", reply)


UNSPECIFIED = [
    ("a set and a hash have no order", "SMEMBERS SINTER SUNION SDIFF HKEYS HVALS KEYS", in_any_order),
    ("the same, in pairs", "HGETALL", pairs_in_any_order),
    ("the same of a script that runs it", "EVAL", in_any_order),
    ("the order of a scan", "SCAN SSCAN HSCAN ZSCAN", scan),
    ("the time", "TIME", only_kind),
    ("libraries have no order, and a dump of them neither", "FUNCTION", libraries),
    ("chance", "SPOP SRANDMEMBER HRANDFIELD ZRANDMEMBER RANDOMKEY", only_kind),
    ("a new id is the time", "XADD EVAL", some_id),
    ("the time that has passed", "XPENDING", pending_without_time),
    ("the same", "XINFO", without_time),
    ("what is inside a hash table", "DUMP", dumped),
    ("SORT of a set by nothing", "SORT", by_nothing),
    ("an id of a connection is the server's own", "HELLO", own_id),
    ("the same", "CLIENT", lambda words, reply: b":N" if words[1:2] and words[1].upper() == b"ID" and reply[:1] == b":" else reply),
    ("what a server counts in its memory, and keys whose time is over until somebody sees it", "MEMORY DBSIZE", is_number),
    ("a key that nobody touched meanwhile, by a clock of its own", "OBJECT",
     lambda words, reply: is_number(words, reply) if words[1:2] and words[1].upper() == b"IDLETIME" else reply),
]


def lifetimes(name, want, got):
    """TTL and the like, within the tolerance."""
    if name not in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME") or want[:1] != b":" or got[:1] != b":":
        return False
    a, b = int(want[1:]), int(got[1:])
    return a > 0 and b > 0 and abs(a - b) * (1 if name[0] == "P" else 1000) <= TOLERANCE_MS


def stale(name, *replies):
    """SORT of Redis 7.0 takes an errno that some command before has left (1e400) for one of its own."""
    return name in ("SORT", "SORT_RO") and b"-ERR One or more scores can't be converted into double\r\n" in replies


def agree(name, words, want, got):
    if want == got or lifetimes(name, want, got) or stale(name, want, got):
        return True
    return any(name in names.split() and same(words, want) == same(words, got) for _, names, same in UNSPECIFIED)


# ---- what this server does otherwise -------------------------------------------------------------

# Whether it applies to (name, words, Redis's reply, ours), and why.
DIFFERENCES = [
    ("CLIENT SETINFO is Redis 7.2's; today's libraries send it",
     lambda name, words, want, got: name == "CLIENT" and words[1].upper() == b"SETINFO" and want.lower().startswith(b"-err unknown subcommand 'setinfo'")),
    ("patterns read keys that may lie on other nodes",
     lambda name, words, want, got: name in ("SORT", "SORT_RO") and has_pattern(words) and
     got == b"-ERR '%s' isn't supported with a pattern: the keys that it reads may lie on any nodes\r\n" % name.encode()),
    ("what is trimmed to about so much (~ without LIMIT) is trimmed exactly, on each replica the same",
     lambda name, words, want, got: name == "XTRIM" and b"~" in words and want[:1] == got[:1] == b":"),
    ("COMMAND GETKEYS: a number of keys that isn't one has no keys; Redis reads as much of it as is one",
     lambda name, words, want, got: name == "COMMAND" and words[1].upper().startswith(b"GETKEYS") and any(map(half_a_number, words[3:]))),
    ("an error quotes at most 128 bytes of an argument",
     lambda name, words, want, got: got[:5] == want[:5] == b"-ERR " and max(map(len, words)) > 128 and len(os.path.commonprefix([want, got])) > 128),
]


def half_a_number(word):
    return re.match(rb"\s*[+-]?\d", word) and not re.fullmatch(rb"0|-?[1-9]\d*", word)


def has_pattern(words):
    return any(w.upper() in (b"BY", b"GET") and b"*" in words[i + 1] for i, w in enumerate(words[:-1]))


def allowed(name, words, want, got):
    return agree(name, words, want, got) or any(holds(name, words, want, got) for _, holds in DIFFERENCES)


# ---- the run ----------------------------------------------------------------------------------------

STRINGS = set("""GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX APPEND STRLEN INCR DECR INCRBY DECRBY INCRBYFLOAT GETRANGE SUBSTR SETRANGE
    MGET MSET DEL UNLINK EXISTS TOUCH TYPE EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME PEXPIRETIME PERSIST DBSIZE PING ECHO
    SELECT HELLO AUTH RESET CLIENT COMMAND CONFIG ACL ROLE TIME MODULE NOPE
    KEYS SCAN RANDOMKEY FLUSHALL FLUSHDB MULTI EXEC DISCARD WATCH UNWATCH""".split())  # the embedded store has these
@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("oracle")), "oracle")
    server.start()
    yield server
    server.kill()


def empty(server):
    """Of keys, and of what FLUSHALL leaves."""
    with Wire(server.path) as w:
        assert [w.ask(*line.split()) for line in ("FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH")] == [b"+OK\r\n"] * 3


def payloads(server):
    """What DUMP gives of a key of each type."""
    with Wire(server.path) as w:
        made = []
        for line in (b"SET d hello", b"RPUSH d a b c", b"SADD d 1 2 3", b"HSET d f v", b"ZADD d 1 a 2 b", b"XADD d 1-1 f v"):
            w.ask(*line.split())
            made.append(w.ask("DUMP", "d").partition(b"\r\n")[2][:-2])
            w.ask("DEL", "d")
        return made


def seed_of():
    seed = int(os.environ.get("DYN_SEED", random.randrange(1 << 30)))
    rig.note(f"DYN_SEED={seed}")
    return seed


def short(words):
    return [w if len(w) < 80 else w[:80] + b"... %d bytes" % len(w) for w in words]


def around(want, got):
    at = max(0, len(os.path.commonprefix([want, got])) - 60)
    return f"Redis {want[at:at + 200]}, here {got[at:at + 200]}" + (f" from byte {at}" if at else "")


class Transaction:
    """What EXEC's reply is made of."""

    def __init__(self):
        self.queued = None  # (name, words) of each; None: it isn't open

    def judge(self, name, words, want, got, judge):
        """As `judge`; of EXEC's array each element as the reply of its command."""
        queued = self.queued
        if want == b"+QUEUED\r\n":
            self.queued.append((name, words))
        elif name == "MULTI" and want == b"+OK\r\n":
            self.queued = []
        elif name in ("EXEC", "DISCARD", "RESET"):
            self.queued = None if want[:1] != b"-" or want.startswith(b"-EXECABORT") else queued
        if name != "EXEC" or want[:1] != b"*" or want[1:2] == b"-":
            return judge(name, words, want, got)
        (head, theirs), (other, ours) = parts(want), parts(got)
        return head == other and len(theirs) == len(queued) and all(judge(*q, w, g) for q, w, g in zip(queued, theirs, ours))


def run(commands, seed, theirs, ours, count, judge):
    """The same to both, many at a time, and from batch to batch in the other protocol."""
    done, transaction = 0, Transaction()
    while done < count:
        batch = [("RESET", [b"RESET"]), ("HELLO", [b"HELLO", b"%d" % (2 + done // BATCH % 2)])]
        while len(batch) < BATCH or commands.queue:
            batch.append(commands.next())
        data = b"".join(command(*words) for _, words in batch)
        theirs.send(data)
        ours.send(data)
        for i, (name, words) in enumerate(batch):
            want, got = theirs.reply(), ours.reply()
            assert transaction.judge(name, words, want, got, judge), \
                f"DYN_SEED={seed}, command {done + i}: {short(words)}: {around(want, got)}"
        done += len(batch)


def test_oracle_two_redis_servers_differ_in_no_more(oracle, tmp_path):
    """What is compared is what Redis specifies: another one passes, by UNSPECIFIED alone."""
    seed = seed_of()
    another = rig.RedisServer(str(tmp_path), "another")
    another.start()
    try:
        empty(oracle)
        with Wire(oracle.path) as theirs, Wire(another.path) as ours:
            run(Commands(seed, int(time.time()), dumps=payloads(oracle)), seed, theirs, ours, COUNT // 4, agree)
    finally:
        another.kill()


def digests(client, keys):
    """Of each key's value, whatever its order; lifetimes count as there or not."""
    with client.pipeline(transaction=False) as p:
        for key in keys:
            p.execute_command("PFCOUNT", key)  # writes down what it counts: everywhere, then
        p.execute(raise_on_error=False)
        p.execute_command("DEBUG", "DIGEST-VALUE", *keys)
        return p.execute()[0]


def kept(server):
    return {k for k in server.client().keys("*") if not k.startswith(b"__dynomited:")}


@pytest.mark.parametrize("store,nodes", [("redis", 1), ("redis", 3), ("embedded", 1), ("embedded", 3)])
def test_oracle_random_commands_are_answered_as_by_redis(oracle, store, nodes):
    seed = seed_of()
    empty(oracle)
    names = STRINGS if store == "embedded" else None
    commands = Commands(seed, int(time.time()), names, payloads(oracle))
    with rig.Cluster(nodes, store=store, flags={"allow-flush": "true"}) as c, Wire(oracle.path) as theirs, Wire(c.nodes[0].client_port) as ours:
        run(commands, seed, theirs, ours, COUNT, allowed)
        if store == "redis":
            for backend in c.backends:
                rig.wait_until(lambda b=backend: kept(b) == kept(oracle), f"DYN_SEED={seed}: the same keys are left")
                keys = sorted(kept(oracle))
                rig.wait_until(lambda b=backend: digests(b.client(), keys) == digests(oracle.client(), keys),
                               f"DYN_SEED={seed}: the same values are left")
        else:
            for node in c.nodes:
                rig.wait_until(lambda n=node: n.client().mget(Keys.STR) == oracle.client().mget(Keys.STR),
                               f"DYN_SEED={seed}: the same values are left")
