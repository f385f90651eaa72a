#!/usr/bin/python3
"""wire/resp3 against a running redis-server 7.0: each line is asked in RESP2 (database 0) and in RESP3 (database 1, where
the same was done before); what print_resp3 makes of the first reply must be the second, byte by byte. Runs in the build
directory; skipped (77) where a redis-server 7.0 is missing."""

import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

SKIP = 77

# Those before whose reply stands a ~ have something in it that isn't the same twice: digits aren't compared.
LINES = """
SADD s a b c
SADD one a
SADD ints 1 2 3
HSET h f 1 g 2
ZADD z 1 a 2.5 b inf c -inf d 1e300 e 3.0000000000000001 f
XADD x 1-1 f v g w
XADD x 1-2 f v
XADD y 5-5 a b
XGROUP CREATE x g 0
XGROUP CREATE x h $
XREADGROUP GROUP g c COUNT 1 STREAMS x >
GEOADD geo 13.36 38.11 p 15.08 37.5 c 15 37 WITHCOORD
RPUSH l a b c
MSET k1 ohmytext k2 mynewtext
FUNCTION LOAD REPLACE "#!lua name=lib\\nredis.register_function{function_name='f',callback=function(k,a) return 1 end,flags={'no-writes','allow-stale'},description='d'}"
FUNCTION LOAD REPLACE "#!lua name=l2\\nredis.register_function('f2',function(k,a) return 1 end)"
GET none
GET k1
GET l
GETSET none2 x
SET none3 x GET
SET k1 x NX
GETDEL none
GETEX none
MGET k1 none k2
MGET none
DUMP none
OBJECT ENCODING none
OBJECT ENCODING k1
OBJECT FREQ none
OBJECT HELP
RANDOMKEY none
STRLEN k1
LCS k1 k2
LCS k1 k2 LEN
LCS k1 k2 IDX
lcs k1 k2 minmatchlen 2 withmatchlen idx
LCS k1 k2 IDX LEN
BITFIELD k1 GET u8 0 OVERFLOW FAIL INCRBY u2 0 100
SMEMBERS s
SMEMBERS none
SMEMBERS ints
SMEMBERS l
SINTER s one
SUNION s none ints
SDIFF s one
SRANDMEMBER s 5
SRANDMEMBER one -3
SRANDMEMBER none
SRANDMEMBER none 1
SPOP none
SPOP none 2
SPOP ints 0
SPOP ints 5
SPOP one
SISMEMBER s a
SMISMEMBER s a q
SSCAN s 0
HGETALL h
HGETALL none
HGETALL l
HKEYS h
HVALS h
HMGET h f none
HGET h none
HRANDFIELD none
HRANDFIELD h 5
HRANDFIELD h 5 WITHVALUES
hrandfield h 5 withvalues
HRANDFIELD none 2 WITHVALUES
HRANDFIELD h 5 NO
HSCAN h 0
HINCRBYFLOAT h f 1.5
ZSCORE z c
ZSCORE z f
ZSCORE z none
ZSCORE none a
ZSCORE l a
ZMSCORE z a none e d
ZMSCORE none a
ZADD z INCR 1 a
ZADD z XX CH INCR 1 none
ZADD z NX GT INCR 1 a
ZADD z CH 1 INCR
ZINCRBY z 0.1 a
ZRANK z none
ZRANGE z 0 -1
ZRANGE z 0 -1 WITHSCORES
ZRANGE z (1 +inf BYSCORE LIMIT 0 2 WITHSCORES
ZRANGE none 0 -1 withscores
ZREVRANGE z 0 2 WITHSCORES
ZRANGEBYSCORE z -inf +inf WITHSCORES LIMIT 1 2
ZREVRANGEBYSCORE z +inf -inf WITHSCORES
ZRANGEBYLEX z - + LIMIT 0 2
ZRANGE l 0 -1 WITHSCORES
ZRANDMEMBER z 9 WITHSCORES
ZRANDMEMBER z 9
ZRANDMEMBER none
ZRANDMEMBER none 1 WITHSCORES
ZUNION 2 z none WITHSCORES
ZUNION 1 WITHSCORES
ZUNION 2 z WITHSCORES
ZUNION 2 z WITHSCORES WITHSCORES
ZINTER 2 z z WEIGHTS 1 2 AGGREGATE MAX WITHSCORES
ZDIFF 1 z WITHSCORES
ZDIFF x z WITHSCORES
ZSCAN z 0
ZPOPMIN none
ZPOPMIN none 2
ZPOPMIN z
ZPOPMAX z
ZPOPMIN z 1
ZPOPMAX z 2
ZPOPMIN z 0
ZPOPMIN z x
ZMPOP 2 none z MAX
ZMPOP 1 z MIN COUNT 5
ZMPOP 1 z MIN COUNT 5
GEOPOS geo p none c
GEOPOS none p
GEOPOS geo
GEODIST geo p c km
GEODIST geo p none
GEOHASH geo p none
GEOSEARCH geo FROMMEMBER p BYRADIUS 300 km WITHCOORD WITHDIST WITHHASH ASC
GEOSEARCH geo FROMMEMBER WITHCOORD BYBOX 900 900 km ASC WITHDIST
GEOSEARCH geo FROMLONLAT 15 37 BYRADIUS 300 km ASC WITHCOORD
GEOSEARCH geo FROMLONLAT 15 37 BYRADIUS 300 km ASC
GEOSEARCH none FROMLONLAT 15 37 BYRADIUS 300 km WITHCOORD
GEORADIUS geo 15 37 300 km WITHCOORD COUNT 1
GEORADIUS geo 15 37 300 km WITHDIST ASC
GEORADIUS_RO geo 15 37 300 km WITHHASH WITHCOORD DESC
GEORADIUSBYMEMBER geo p 300 km WITHCOORD ASC
GEORADIUSBYMEMBER_RO geo WITHCOORD 300 km ASC
LPOS l none
LPOS l a COUNT 0
LPOP none 2
LPOP none
LMPOP 1 none LEFT
LMPOP 1 l LEFT COUNT 2
SORT l GET # GET none_* ALPHA
XREAD STREAMS x 0
XREAD COUNT 1 STREAMS x y none 0 0 0
XREAD STREAMS x $
XREAD STREAMS x
XREADGROUP GROUP g c STREAMS x 0
XREADGROUP GROUP g c STREAMS x >
XREADGROUP GROUP g c STREAMS x >
XDEL x 1-1
XREADGROUP GROUP g c STREAMS x 0
XRANGE x - +
XPENDING x g
XPENDING none g
XPENDING x h
XPENDING x g - + 10 ~
XINFO STREAM x
XINFO STREAM x FULL ~
XINFO STREAM none
XINFO GROUPS x
XINFO CONSUMERS x g ~
XINFO HELP
XCLAIM x g d 0 1-1 1-2
XAUTOCLAIM x g e 0 0
XAUTOCLAIM x g f 0 0 JUSTID
EVAL "return {1,false,{false,'x',{ok='fine'}},redis.call('zrange',KEYS[1],0,-1,'withscores')}" 1 z
EVAL "return redis.call('hgetall','h')" 0
EVAL "return redis.error_reply('MY error')" 0
EVAL "return {1,{err='in it'}}" 0
EVAL "return" 0
EVAL "return true" 0
SCRIPT EXISTS a
FUNCTION LIST WITHCODE
FUNCTION LIST LIBRARYNAME none*
FUNCTION STATS
FCALL f 0
CONFIG GET maxmemory*
CONFIG GET nothing
COMMAND
COMMAND INFO get none xinfo sort
COMMAND INFO
COMMAND COUNT
COMMAND LIST
COMMAND DOCS
COMMAND DOCS set none xinfo
COMMAND GETKEYS mset a 1 b 2
COMMAND GETKEYSANDFLAGS set a b
CLIENT GETNAME
CLIENT TRACKINGINFO
CLIENT NONE
MODULE LIST
MEMORY USAGE none
MEMORY DOCTOR
MEMORY STATS ~
MEMORY MALLOC-STATS ~
LOLWUT VERSION 5 1 1 1
INFO ~
INFO server ~
INFO nothing
CLIENT LIST ~
CLIENT INFO ~
ROLE
TIME ~
ACL WHOAMI
PING
PING x
ECHO x
SET
WRONG command
TYPE none
EXISTS none
"""

CLUSTER = ["CLUSTER INFO", "CLUSTER NODES", "CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER LINKS", "CLUSTER MYID"]


def command(words):
    words = [w if isinstance(w, bytes) else w.encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Connection:
    def __init__(self, path, version, database=0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        end = time.monotonic() + 20
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                assert time.monotonic() < end, "redis-server doesn't start"
                time.sleep(0.01)
        self.file = self.socket.makefile("rb")
        self.greeting = self.ask("HELLO", str(version))
        if database:
            self.ask("SELECT", str(database))

    def reply(self):
        line = self.file.readline()
        if line[:1] in b"$=" and line[1:2] != b"-":
            return line + self.file.read(int(line[1:]) + 2)
        if line[:1] in b"*%~" and line[1:2] != b"-":
            n = int(line[1:]) * (2 if line[:1] == b"%" else 1)
            return line + b"".join(self.reply() for _ in range(n))
        return line

    def ask(self, *words):
        self.socket.sendall(command(words))
        return self.reply()


class Ours:
    def __init__(self):
        self.process = subprocess.Popen(["./print_resp3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def convert(self, words, reply):
        for data in (command(words), reply):
            self.process.stdin.write(struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        size = struct.unpack("<I", self.process.stdout.read(4))[0]
        return self.process.stdout.read(size)

    def end(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def same_but_digits(a, b):
    """Also the text of a verbatim string is only compared with its own length."""
    if a[:1] == b[:1] == b"=" and int(a[1:a.index(b"\r")]) == len(a) - a.index(b"\n") - 3:
        a, b = a[:1] + a[a.index(b"\n"):][:20], b[:1] + b[b.index(b"\n"):][:20]
    return re.sub(rb"\d[\d.]*", b"N", a) == re.sub(rb"\d[\d.]*", b"N", b)


def compare(what, found, expected, volatile=False):
    if found == expected or volatile and same_but_digits(found, expected):
        return 0
    at = max(0, len(os.path.commonprefix([found, expected])) - 60)
    print(f"{what}:\n  Redis {expected[at:at + 200]}\n  here  {found[at:at + 200]}")
    return 1


def compare_lines(old, new, ours):
    wrong = compare("HELLO", ours.convert(["HELLO"], old.greeting).replace(b":2\r\n", b":3\r\n", 1), new.greeting, True)
    for line in LINES.strip().split("\n"):
        volatile = line.endswith(" ~")
        words = [w.replace("\\n", "\n") for w in shlex.split(line[:-2] if volatile else line)]
        wrong += compare(line, ours.convert(words, old.ask(*words)), new.ask(*words), volatile)
    return wrong


def compare_cluster(old, new, ours):
    wrong = 0
    for connection in (old, new):
        connection.ask("CLUSTER", "ADDSLOTSRANGE", "0", "100")
    for line in CLUSTER:
        words = line.split()
        wrong += compare(line, ours.convert(words, old.ask(*words)), new.ask(*words), True)
    return wrong


def with_server(options, run):
    with tempfile.TemporaryDirectory() as directory:
        path = directory + "/redis.sock"
        server = subprocess.Popen(["redis-server", "--unixsocket", path, "--save", "", "--dir", directory, *options],
                                  stdout=subprocess.DEVNULL)
        try:
            return run(path)
        finally:
            server.terminate()
            server.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def main():
    version = subprocess.run(["redis-server", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode() \
        if shutil.which("redis-server") else ""
    if " v=7.0." not in version:
        print(f"skipped: redis-server is {version or 'missing'}, not 7.0")
        return SKIP
    ours = Ours()

    def single(path):
        old, new = Connection(path, 2), Connection(path, 3, 1)
        return compare_lines(old, new, ours)

    def clustered(path):
        return compare_cluster(Connection(path, 2), Connection(path, 3), ours)

    wrong = with_server(["--port", "0"], single)
    wrong += with_server(["--port", free_port(), "--bind", "127.0.0.1", "--cluster-port", free_port(), "--cluster-enabled", "yes"],
                         clustered)
    ours.end()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
