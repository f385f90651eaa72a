"""What a client sees, byte by byte: Redis 7.0 is the oracle."""
import os
import random
import re
import time

import pytest
import redis
import rig
from wire import Commands, Wire, command

# ---- the same replies as Redis ------------------------------------------------------------------

TOLERANCE_MS = 2000  # TTL and PTTL: the servers get a command at different moments


def lifetime(name, words, reply):
    return reply[:1] == b":" and int(reply[1:]) > 0 and name in ("TTL", "PTTL")


# What differs on purpose: whether it applies to (generated name, words, Redis's reply, ours), and why.
DIFFERENCES = [
    ("an id of a connection is the server's own",
     lambda name, words, want, got: name == "HELLO" and re.sub(rb"id\r\n:\d+", b"id", want) == re.sub(rb"id\r\n:\d+", b"id", got)),
    ("an id of a connection is the server's own",
     lambda name, words, want, got: name == "CLIENT" and words[1:] == [b"ID"] and got[:1] == want[:1] == b":"),
    ("there are no passwords yet: refused, not taken without being looked at",
     lambda name, words, want, got: name == "HELLO" and b"AUTH" in words and got == b"-ERR 'AUTH' isn't supported by this server\r\n"),
    ("CLIENT SETINFO is Redis 7.2's; today's libraries send it",
     lambda name, words, want, got: name == "CLIENT" and words[1:2] == [b"SETINFO"] and want.startswith(b"-ERR unknown subcommand 'SETINFO'")),
    ("the table of commands is this server's: fewer, and without texts",
     lambda name, words, want, got: name == "COMMAND" and words[1:2] in ([], [b"COUNT"], [b"INFO"], [b"DOCS"], [b"LIST"]) and got[:1] == want[:1]),
    ("GETEX: a lifetime is checked before the key is looked at, so a wrong one is an error also where there is no key",
     lambda name, words, want, got: name == "GETEX" and want == b"$-1\r\n" and got[:5] == b"-ERR "),
    ("an error quotes at most 128 bytes of an argument",
     lambda name, words, want, got: got[:5] == b"-ERR " and len(os.path.commonprefix([want, got])) > 128),
    ("TTL and PTTL within the tolerance",
     lambda name, words, want, got: lifetime(name, words, want) and lifetime(name, words, got) and
     abs(int(want[1:]) - int(got[1:])) * (1000 if name == "TTL" else 1) <= TOLERANCE_MS),
]


def allowed(name, words, want, got):
    return want == got or any(holds(name, words, want, got) for _, holds in DIFFERENCES)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("oracle")), "oracle")
    server.start()
    yield server
    server.kill()


def short(words):
    return [w if len(w) < 80 else w[:80] + b"... %d bytes" % len(w) for w in words]


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_client_random_commands_are_answered_as_by_redis(oracle, store):
    seed = int(os.environ.get("CLIENT_SEED", time.time()))
    count = int(os.environ.get("CLIENT_COMMANDS", 20000))
    print(f"CLIENT_SEED={seed}")
    oracle.client().flushall()
    with rig.Cluster(1, store=store) as c, Wire(oracle.path) as theirs, Wire(c.nodes[0].client_port) as ours:
        commands = Commands(seed, int(time.time()))
        for start in range(0, count, 50):
            batch = [commands.next() for _ in range(50)]
            data = b"".join(command(*words) for _, words in batch)
            theirs.send(data)
            ours.send(data)
            for i, (name, words) in enumerate(batch):
                want, got = theirs.reply(), ours.reply()
                assert allowed(name, words, want, got), \
                    f"CLIENT_SEED={seed}, command {start + i}: {short(words)}: Redis {want[:200]}, here {got[:200]}"
        rig.wait_until(lambda: c.nodes[0].client().dbsize() == oracle.client().dbsize(), "as many keys are left")
