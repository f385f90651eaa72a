#!/usr/bin/python3
"""The command table against a running redis-server 7.0: names, number of arguments and places of
keys are those of its COMMAND, of subcommands too; the keys of random command lines are those that its
COMMAND GETKEYS names; a wrong lifetime, option or number of keys gets its words. Runs in the build
directory; skipped (77) where python3-redis or a redis-server 7.0 is missing."""

import random
import shutil
import subprocess
import sys
import tempfile
import time

SKIP = 77
try:
    import redis
except ImportError:
    print("skipped: python3-redis is missing")
    sys.exit(SKIP)

NOW = 1700000000000
MAX = 2**63 - 1
SECONDS_MAX = MAX // 1000

# Each gets the same error, or none, from both. The keys exist in no store. (GETEX looks at the key
# before the lifetime: it isn't here.)
LINES = """
SET k
SET k v EX
SET k v EX 0
SET k v EX -1
SET k v EX x
SET k v EX 1.5
SET k v EX 010
SET k v EX {SECONDS_MAX}
SET k v EX {SECONDS_OVER}
SET k v PX {MAX}
SET k v PX {OVER}
SET k v EXAT 0
SET k v EXAT {SECONDS_OVER}
SET k v EXAT {SECONDS_MAX}
SET k v PXAT -5
SET k v PXAT {MAX}
SET k v EX 10 PX 10
SET k v EX 10 EX 20
SET k v EX x EX 20
SET k v EX 10 KEEPTTL
SET k v KEEPTTL EX 10
SET k v KEEPTTL KEEPTTL
SET k v NX XX
SET k v NX NX
SET k v NX GET
SET k v XX GET EX 10
SET k v PERSIST
SET k v what
SETEX k 0 v
SETEX k x v
SETEX k {SECONDS_OVER} v
SETEX k 10
PSETEX k -1 v
PSETEX k {MAX} v
PSETEX k {OVER} v
GETEX k EX
GETEX k EX 10 PERSIST
GETEX k PERSIST EX 10
GETEX k PERSIST PERSIST
GETEX k NX
GETEX k KEEPTTL
EXPIRE k
EXPIRE k x
EXPIRE k -1
EXPIRE k {SECONDS_OVER}
EXPIRE k -{SECONDS_OVER}
EXPIRE k -{SECONDS_MAX}
EXPIRE k {SECONDS_MAX}
EXPIRE k 10 what
EXPIRE k x what
EXPIRE k x NX XX
EXPIRE k 10 NX XX
EXPIRE k 10 NX GT
EXPIRE k 10 LT NX
EXPIRE k 10 GT LT
EXPIRE k 10 XX GT
EXPIRE k 10 XX XX
PEXPIRE k {MAX}
PEXPIRE k -{MAX}
PEXPIRE k {OVER}
PEXPIRE k -{OVER}
EXPIREAT k {SECONDS_OVER}
EXPIREAT k -{SECONDS_OVER}
EXPIREAT k {SECONDS_MAX}
PEXPIREAT k {MAX}
PEXPIREAT k -1
RESTORE k x {DUMP} REPLACE
RESTORE k -1 {DUMP} REPLACE
RESTORE k -1 {DUMP} what
RESTORE k 1 {DUMP} FREQ
RESTORE k 1 {DUMP} FREQ x
RESTORE k 1 {DUMP} FREQ 256
RESTORE k 1 {DUMP} FREQ 1 IDLETIME 1
RESTORE k 1 {DUMP} IDLETIME -1
RESTORE k 1 {DUMP} IDLETIME 1 FREQ 1
MSET a 1 b
MSETNX a 1 b
OBJECT what k
OBJECT ENCODING
XGROUP CREATE k
XINFO what
MEMORY USAGE
INCR
EVAL s x a
EVAL s 2 a
EVAL s -1 a
EVALSHA s {OVER} a
EVALSHA s 0
EVALSHA 0123456789012345678901234567890123456789 {OVER} a
EVALSHA_RO 0123456789012345678901234567890123456789 5 a
EVAL_RO s 9 a
LMPOP 0 a LEFT
LMPOP x a LEFT
LMPOP -3 a LEFT
LMPOP 2 a LEFT
LMPOP 3 a LEFT
LMPOP {MAX} a LEFT
LMPOP {OVER} a LEFT
LMPOP 1 a
ZMPOP 0 a MIN
ZMPOP 2 a MIN
ZMPOP 1x a MIN
SINTERCARD 0 a
SINTERCARD x a
SINTERCARD 2 a
SINTERCARD {MAX} a
ZUNION 0 a
ZUNION x a
ZUNION 2 a
ZUNION -{MAX} a
ZUNION {MAX} a
ZINTER 0 a
ZINTER 3 a WITHSCORES
ZDIFF 0 a
ZDIFF 2 a
ZINTERCARD 0 a
ZINTERCARD x a
ZINTERCARD 2 a
ZUNIONSTORE d 0 a
ZUNIONSTORE d x a
ZUNIONSTORE d 2 a
ZINTERSTORE d -1 a
ZDIFFSTORE d 2 a
ZDIFFSTORE d 1
XREAD STREAMS k
XREAD STREAMS k j 0
XREAD COUNT x STREAMS k 0
XREAD COUNT -1 STREAMS k 0
XREAD COUNT 1 STREAMS
XREAD COUNT 1 COUNT 1
XREAD COUNT 1 COUNT 1 STREAMS k $
XREAD GROUP g c STREAMS k 0
XREAD GROUP g STREAMS k
XREAD NOACK STREAMS k 0
XREAD what STREAMS k 0
XREAD COUNT x GROUP g c STREAMS k
XREADGROUP COUNT 1 NOACK STREAMS k >
XREADGROUP GROUP g c STREAMS k j >
XREADGROUP GROUP g c COUNT 5 NOACK NOACK
XREADGROUP GROUP g c COUNT 5 NOACK STREAMS
XREADGROUP NOACK NOACK NOACK STREAMS j k >
XREADGROUP GROUP g c what STREAMS k >
"""


def start_redis(directory):
    path = shutil.which("redis-server")
    if not path:
        print("skipped: redis-server is missing")
        sys.exit(SKIP)
    options = ["--port", "0", "--unixsocket", socket_in(directory), "--save", "", "--dir", directory]
    return subprocess.Popen([path, *options], stdout=subprocess.DEVNULL)


def socket_in(directory):
    return directory + "/redis.sock"


def connect(server, directory):
    client = redis.Redis(unix_socket_path=socket_in(directory))
    end = time.monotonic() + 20
    while True:
        try:
            client.ping()
            return client
        except redis.exceptions.ConnectionError:
            if time.monotonic() > end or server.poll() is not None:
                raise
            time.sleep(0.01)


def ask(client, *words):
    """The reply as it came: redis-py would make something nice of COMMAND's."""
    connection = client.connection_pool.get_connection("_")
    try:
        connection.send_command(*words)
        return connection.read_response()
    finally:
        client.connection_pool.release(connection)


def ours(*arguments):
    done = subprocess.run(["./print_commands", *arguments], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().splitlines()


def compare(what, expected, found):
    for line in sorted(expected - found):
        print(f"{what}: Redis has {line}")
    for line in sorted(found - expected):
        print(f"{what}: the table has {line}")
    return len(expected ^ found)


def compare_tables(client):
    rows = ask(client, "COMMAND")
    expected = {f"{r[0].decode().upper()} {r[1]} {r[3]} {r[4]} {r[5]}" for r in rows}
    table = ours("table")
    wrong = compare("commands", expected, set(table))
    names = [line.split()[0] for line in table]
    if names != sorted(set(names)):
        print("the table isn't sorted")
        wrong += 1
    expected = {f"{s[0].decode().upper()} {s[1]} {s[3]}" for r in rows for s in r[9]}
    return wrong + compare("subcommands", expected, set(ours("subcommands")))


# ---- keys of command lines ------------------------------------------------------------------------

# The words in front of a number of keys, and what stands behind the keys.
COUNTED = {
    "EVAL": (["s"], []), "EVALSHA": (["s"], []), "EVAL_RO": (["s"], []), "EVALSHA_RO": (["s"], []),
    "FCALL": (["f"], []), "FCALL_RO": (["f"], []), "ZUNION": ([], []), "ZINTER": ([], []), "ZDIFF": ([], []),
    "ZINTERCARD": ([], []), "SINTERCARD": ([], []), "ZUNIONSTORE": (["d"], []), "ZINTERSTORE": (["d"], []),
    "ZDIFFSTORE": (["d"], []), "LMPOP": ([], ["LEFT"]), "ZMPOP": ([], ["MAX"]), "BLMPOP": (["0"], ["LEFT"]),
    "BZMPOP": (["0"], ["MIN"]),
}
# What may stand in any number behind the words in front.
OPTIONS = {
    "SORT": (["k"], [["ASC"], ["ALPHA"], ["LIMIT", "0", "5"], ["BY", "store"], ["GET", "#"], ["STORE", "d"], ["store", "e"]]),
    "SORT_RO": (["k"], [["ASC"], ["LIMIT", "0", "1"], ["BY", "x"], ["GET", "#"]]),
    "GEORADIUS": (["k", "1", "1", "1", "m"], [["ASC"], ["COUNT", "1"], ["STORE", "d"]]),
    "GEORADIUSBYMEMBER": (["k", "store", "1", "m"], [["DESC"], ["WITHDIST"], ["STOREDIST", "d"]]),
    "MIGRATE": (["h", "1", "k", "0", "9"], [["COPY"], ["REPLACE"], ["AUTH", "p"], ["AUTH2", "u", "p"]]),
}
# "PFMERGE d" is valid, but COMMAND GETKEYS can't tell its key.
WITHOUT_ANSWER = [["PFMERGE"]]
# They name channels, which COMMAND lists as if they were keys.
CHANNELS = {"SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"}


def counted_line(dice, name):
    front, behind = COUNTED[name]
    n = dice.randrange(5)
    said = dice.choice([n, n, n, n, n + 1, -1, "x", MAX])
    return [name] + front + [str(said)] + [f"k{i}" for i in range(n)] + behind


def streams_line(dice, name):
    group = [["GROUP", "g", "c"]] if name == "XREADGROUP" else []
    options = group + dice.choices([["COUNT", "2"], ["BLOCK", "9"]] + ([["NOACK"]] if group else []), k=dice.randrange(3))
    dice.shuffle(options)
    n = dice.randrange(1, 4)
    return [name, *sum(options, []), dice.choice(["STREAMS", "streams"]), *(f"k{i}" for i in range(n)), *["0"] * n]


def options_line(dice, name):
    front, options = OPTIONS[name]
    line = [name, *front, *sum(dice.choices(options, k=dice.randrange(4)), [])]
    if name == "MIGRATE" and dice.random() < 0.5:
        line = line[:3] + [""] + line[4:] + ["KEYS", "a", "keys"]
    return line


def plain_line(dice, name, arity):
    return [name] + [f"w{i}" for i in range(abs(arity) - 1 + (dice.randrange(4) if arity < 0 else 0))]


def line_for(dice, name, arity):
    if name in COUNTED:
        return counted_line(dice, name)
    if name in ("XREAD", "XREADGROUP"):
        return streams_line(dice, name)
    return options_line(dice, name) if name in OPTIONS else plain_line(dice, name, arity)


def keys_of_redis(client, words):
    """None: it can't tell."""
    try:
        return [k.decode() for k in ask(client, "COMMAND", "GETKEYS", *words)]
    except redis.exceptions.ResponseError as e:
        return [] if "no key arguments" in str(e) else None


def compare_keys(client):
    """Also says so when a command whose keys don't stand at fixed places has no lines here."""
    dice, rows, lines, wrong = random.Random(7), ask(client, "COMMAND"), [], 0
    for r in rows:
        name = r[0].decode().upper()
        if b"movablekeys" in r[2] and name not in COUNTED and name not in OPTIONS and not name.startswith("XREAD"):
            print(f"{name}: no lines are generated for it")
            wrong += 1
        if not r[9] and name not in CHANNELS:
            lines += [line_for(dice, name, r[1]) for _ in range(40 if b"movablekeys" in r[2] else 4)]
        for sub in r[9]:
            if sub[3] or name in ("OBJECT", "XGROUP", "XINFO", "MEMORY"):
                lines += [sub[0].decode().upper().split("|") + plain_line(dice, "", sub[1])[2:] for _ in range(4)]
    text = "".join(" ".join(words) + "\n" for words in lines).encode()
    done = subprocess.run(["./print_commands", "keys"], input=text, stdout=subprocess.PIPE, check=True)
    for words, found in zip(lines, done.stdout.decode().split("\n")):
        expected = keys_of_redis(client, words)
        if found[:1] == "!":
            ok = error_of_redis(client, words) == found.removeprefix("!").removeprefix("NOSCRIPT ").removeprefix("ERR ")
        else:  # FCALL with a wrong number of keys is the store's affair
            ok = found.split() == expected if expected else not found or words[:1] in WITHOUT_ANSWER
        if not ok:
            print(f"{' '.join(words)}: Redis finds the keys {expected}, we '{found}'")
            wrong += 1
    print(f"keys of {len(lines)} command lines compared")
    return wrong


# ---- errors -----------------------------------------------------------------------------------------


def error_of_redis(client, words):
    client.delete("k")
    try:
        ask(client, *words)
    except redis.exceptions.ResponseError as e:
        return str(e)
    return ""


def compare_errors(client):
    numbers = {
        "MAX": MAX,
        "OVER": MAX + 2,
        "SECONDS_MAX": SECONDS_MAX,
        "SECONDS_OVER": SECONDS_MAX + 1,
        "DUMP": "payload",
    }
    lines = [line.format(**numbers).split() for line in LINES.split("\n") if line]
    wrong = 0
    for words in lines:
        expected = error_of_redis(client, words)
        found = ours("normalize", str(NOW), *words)[0]
        found = found.removeprefix("NOSCRIPT ").removeprefix("ERR ") if found.startswith(("ERR ", "NOSCRIPT ")) else ""
        if expected != found:
            print(f"{' '.join(words)}: Redis says '{expected}', we say '{found}'")
            wrong += 1
    print(f"{len(lines)} command lines compared")
    return wrong


def main():
    with tempfile.TemporaryDirectory() as directory:
        server = start_redis(directory)
        try:
            client = connect(server, directory)
            version = client.info("server")["redis_version"]
            if not version.startswith("7.0."):
                print(f"skipped: redis-server is {version}, the table is that of 7.0")
                return SKIP
            return 1 if compare_tables(client) + compare_keys(client) + compare_errors(client) else 0
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
