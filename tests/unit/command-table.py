#!/usr/bin/python3
"""The command table against a running redis-server 7.0: names, number of arguments and places of
keys are those of its COMMAND, and a wrong lifetime or option gets its words. Runs in the build
directory; skipped (77) where python3-redis or a redis-server 7.0 is missing."""

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
RESTORE k x {DUMP}
RESTORE k -1 {DUMP}
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
    subcommands = ours("subcommands")
    containers = {line.split("|")[0] for line in subcommands}
    expected = {
        f"{s[0].decode().upper()} {s[1]} {s[3]}"
        for r in rows
        if r[0].decode().upper() in containers
        for s in r[9]
    }
    return wrong + compare("subcommands", expected, set(subcommands))


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
        found = found[4:] if found.startswith("ERR ") else ""
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
            return 1 if compare_tables(client) + compare_errors(client) else 0
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
