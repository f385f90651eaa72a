#!/usr/bin/python3
"""Writes the inputs that the searches of the fuzz targets start from, into the directory
given (tests/fuzz/corpus). What a search has found worth keeping is added by hand under any other
name; nothing here depends on chance, so that a second run changes nothing."""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cluster"))
from linkpeer import frame, lz4, message, resp  # pylint: disable=wrong-import-position


def resp_inputs():
    """name -> (lengths of pieces, stream); see fuzz_resp.c."""
    def command(*args):
        return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args)

    yield "ping", b"", command(b"PING")
    yield "set", b"\x03", command(b"SET", b"key", b"value")
    yield "binary", b"\x05\x01", command(b"SET", b"\x00\r\n$", b"")
    yield "long", b"\x64", command(b"SET", b"k", b"v" * 300)
    yield "pipeline", b"\x07\x02", command(b"GET", b"a") + b"PING\r\n" + command(b"DEL", b"a", b"b")
    yield "empty", b"", b"*0\r\n*-1\r\n\r\n\n"
    yield "inline", b"\x02", b"SET key \"a\\x41\\n\" 'it\\'s' x\"y\"\r\n"
    yield "quotes", b"\x01", b"SET \"a\r\nSET 'b\r\n"
    yield "count", b"\x01\x09", b"*1048577\r\n"
    yield "count-word", b"", b"*x\r\n"
    yield "bulk", b"", b"*1\r\n$536870913\r\n"
    yield "bulk-minus", b"", b"*2\r\n$3\r\nGET\r\n$-5\r\n"
    yield "bulk-short", b"\x04", b"*1\r\n$3\r\nPING\r\n"
    yield "dollar", b"", b"*1\r\n:1\r\n"
    yield "zeros", b"", b"*01\r\n"
    yield "http", b"\x10", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "reply-scalars", b"", b"+OK\r\n-ERR no\r\n:-12\r\n$-1\r\n$3\r\na\r\n\r\n"
    yield "reply-resp3", b"\x06", b"_\r\n#t\r\n,1.5\r\n(123\r\n=5\r\ntxt:a\r\n!3\r\nERR\r\n"
    yield "reply-nested", b"\x03\x01", b"*2\r\n*2\r\n+a\r\n*0\r\n*1\r\n*1\r\n$-1\r\n:1\r\n"
    yield "reply-deep", b"\x08", b"*1\r\n" * 17 + b":1\r\n"
    yield "reply-long", b"", b"*4294967296\r\n"


def resp3_inputs():
    """name -> a command and a reply to it; see fuzz_resp3.c."""
    yield "get", resp("GET", "k") + b"$-1\r\n"
    yield "hgetall", resp("HGETALL", "h") + resp("a", "1", "b", "2")
    yield "hgetall-odd", resp("HGETALL", "h") + resp("a", "1", "b")
    yield "error", resp("HGETALL", "h") + b"-WRONGTYPE no\r\n"
    yield "smembers", resp("SMEMBERS", "s") + resp("a", "b")
    yield "zscore", resp("ZSCORE", "z", "m") + b"$3\r\n1.5\r\n"
    yield "zscore-text", resp("ZSCORE", "z", "m") + b"$4\r\na\r\nb\r\n"
    yield "zscore-letter", resp("ZSCORE", "z", "m") + resp("a")[4:]
    yield "zrange", resp("ZRANGE", "z", "0", "-1", "WITHSCORES") + resp("a", "1", "b", "inf")
    yield "zmpop", resp("ZMPOP", "1", "z", "MIN") + b"*2\r\n$1\r\nz\r\n*1\r\n" + resp("a", "1")
    yield "xread", resp("XREAD", "STREAMS", "x", "0") + b"*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*2\r\n$3\r\n0-1\r\n" + resp("f", "v")
    yield "xread-other", resp("XREAD", "STREAMS", "x", "0") + b"*2\r\n:1\r\n*1\r\n*-1\r\n"
    yield "geopos", resp("GEOPOS", "g", "m") + b"*2\r\n*-1\r\n" + resp("1.5", "-2.25")
    yield "info", resp("INFO") + b"$9\r\n# Server\r\n\r\n"
    yield "function", resp("FUNCTION", "LIST") + b"*1\r\n*4\r\n$9\r\nfunctions\r\n*1\r\n*2\r\n$5\r\nflags\r\n*0\r\n$1\r\na\r\n*-1\r\n"
    yield "commands", resp("COMMAND") + b"*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n"


def memcache_inputs():
    """name -> (lengths of pieces, stream); see fuzz_memcache.c."""
    yield "get", b"", b"get a\r\ngets a b  c\r\nget\r\nget a\0b\n"
    yield "gat", b"\x05", b"gat 10 a b\r\ngats -1 a\r\ngat x a\r\ngat 1\r\n"
    yield "store", b"\x03\x09", (b"set a 1 2 3\r\nxyz\r\nadd a 0 0 0\r\n\r\nappend a 0 0 2 noreply\r\n\r\n\r\n"
                                 b"prepend a 0 0 1\r\nx\r\nreplace a 0 0 1\r\nxy\r\n")
    yield "cas", b"\x07", b"cas a 0 0 1 18446744073709551615\r\nx\r\ncas a 0 0 1 -1 noreply\r\n"
    yield "numbers", b"", b"set a 4294967296 -2592001 +1\r\nx\r\nset a 0 0 2147483646\r\nset a x 0 noreply\r\n"
    yield "large", b"\x64", b"set a 0 0 600\r\n" + b"v" * 600 + b"\r\nms a 700 q\r\n" + b"v" * 702 + b"mn\r\n"
    yield "small", b"\x02", b"delete a 0 noreply\r\ndelete a 1\r\nincr a 5\r\ndecr a 1 noreply\r\ntouch a 1\r\n"
    yield "server", b"\x04", b"version\r\nstats slabs\r\nverbosity 1\r\nflush_all 10 noreply\r\nwatch\r\nquit\r\n"
    yield "mg", b"\x06", b"mg a s t c f l h v u k q Oabc N30 R5 T9\r\nmg Zm9v b k\r\nmg !! b\r\nmg a v v\r\nmg a y\r\n"
    yield "ms", b"\x08", b"ms a 2 T10 F5 C7 I c MA\r\nxy\r\nms Zm9v 1 b MX\r\nx\r\nms a S1\r\nms a 1 Cx\r\nx\r\n"
    yield "md-ma", b"\x01", b"md a I T5 C7 q\r\nma a N0 J13 D5 M- t c v\r\nma a MM\r\nme Zm9v b\r\nmn\r\n"
    yield "many-flags", b"\x11", b"mg a" + b" v" * 20 + b"\r\nms a 1" + b" c" * 20 + b"\r\nx\r\n"
    yield "long-key", b"", b"get " + b"k" * 251 + b"\r\ndelete " + b"k" * 250 + b"\r\n"
    yield "long-line", b"\x80", b"delete " + b"k" * 2100
    yield "binary", b"", b"\x80\x0b" + b"\0" * 22
    yield "http", b"\x10", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def frame_inputs():
    """name -> (choice, frame); see fuzz_frame.c. An odd choice puts the CRC right."""
    def frame(kind, payload, length=None, flags=0):
        length = 40 + len(payload) if length is None else length
        return struct.pack("<IIBBHIQQQ", length, 0, kind, flags, 7, 0, 1 << 32, 5, 6) + payload

    yield "write", 1, frame(1, b"*1\r\n$4\r\nPING\r\n", flags=1)
    yield "skip", 3, frame(2, struct.pack("<Q", 41))
    yield "beat", 1, frame(40, b"")
    yield "two", 1, frame(40, b"") + frame(20, b"")
    yield "bad-crc", 0, frame(1, b"payload")
    yield "short", 1, frame(1, b"", length=39)
    yield "torn", 1, frame(1, b"payload", length=100)
    yield "long", 1, frame(1, b"", length=0xFFFFFFFF)
    yield "few", 0, b"\x28\x00\x00"
    yield "http", 0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def link_inputs():
    """name -> (reader, payload); see fuzz_link.c. The second half of proto/link.proto's readers."""
    b, c = "bbbbbbbb-0000-4000-8000-000000000002", "cccccccc-0000-4000-8000-000000000003"

    def hello(**more):
        fields = {"1": 1, "2": "test", "3": c, "4": 1700000000, "5": "dc1", "6": "rack3", "7": [0],
                  "8": "127.0.0.1:1", "9": bytes(32), "10": 1700000000000, "11": 0, "12": "embedded"}
        fields.update({k[1:]: v for k, v in more.items()})
        return message(*((int(k), v) for k, v in fields.items()))

    def challenge(**more):
        fields = {"1": 1, "2": "test", "3": b, "4": 1700000000, "5": "dc1", "6": "rack2", "7": [2, 1],
                  "8": bytes(32), "9": b"", "10": 1700000000000}
        fields.update({k[1:]: v for k, v in more.items()})
        return message(*((int(k), v) for k, v in fields.items()))

    def number(seq, payload):
        return struct.pack("<Q", seq) + payload
    yield "hello", 0, hello()
    yield "hello-cluster", 0, hello(f2="elsewhere")
    yield "hello-version", 0, hello(f1=2)
    yield "hello-mark", 0, hello(f4=1 << 32)
    yield "hello-hints", 0, hello(f11=(1 << 64) - 1)
    yield "hello-id", 0, hello(f3="../../etc")
    yield "hello-tokens", 0, hello(f7=list(range(300)))
    yield "hello-place", 0, hello(f6="rack9")
    yield "challenge", 1, challenge()
    yield "challenge-proof", 1, challenge(f9=bytes(32))
    yield "challenge-long", 1, challenge(f9=bytes(33))
    yield "proof", 2, message((1, bytes(32)))
    yield "proof-none", 2, message((1, b""))
    yield "welcome", 3, message((1, 5), (2, 2), (3, 1))
    yield "welcome-state", 3, message((1, 5), (2, 77), (3, 1))
    yield "state", 4, message((1, 2), (2, 1), (3, 5))
    yield "refuse", 5, message((1, "because of this and that, at some length"))
    yield "skip", 6, number(1700000000 << 32, struct.pack("<Q", 41))
    yield "skip-back", 6, number(41, struct.pack("<Q", 1 << 63))
    yield "number-above", 6, number((1 << 64) - 1, struct.pack("<Q", 41))
    yield "write", 7, resp("SET", "k", "v")
    yield "write-read", 7, resp("GET", "k")
    yield "write-hidden", 7, resp("DEL", "k", "__dynomited:seq")
    yield "write-xadd", 7, resp("XADD", "k", "*", "f", "v")
    yield "write-sort", 7, resp("SORT", "k", "STORE", "d")
    records = b"".join(frame(1, resp("SET", "k", "v" * 30), seq=(1700000000 << 32) + i, stamp=5) for i in range(1, 5))
    skip = frame(2, struct.pack("<Q", 41), seq=1700000000 << 32)
    yield "pack", 8, struct.pack("<I", len(records)) + lz4(records)
    yield "pack-run", 8, struct.pack("<I", 40 + 4000) + lz4(frame(1, b"a" * 4000, seq=1)[:41], run=3999)
    yield "pack-skip", 8, struct.pack("<I", 48) + lz4(skip)
    yield "pack-size", 8, struct.pack("<I", 0xFFFFFFFF) + lz4(records)
    yield "pack-short", 8, struct.pack("<I", len(records)) + lz4(records)[:-1]
    yield "pack-torn", 8, struct.pack("<I", len(records) - 1) + lz4(records[:-1])
    yield "pack-nested", 8, struct.pack("<I", 40 + 4 + len(lz4(skip))) + lz4(frame(4, struct.pack("<I", 48) + lz4(skip)))
    yield "pack-none", 8, b"\x00"


def gossip_inputs():
    """name -> payload, a GossipEnvelope; see fuzz_gossip.c and proto/gossip.proto."""
    def fixed(number, value, size=8):
        kind = {8: 1, 4: 5}[size]
        return bytes([number << 3 & 127 | kind] if number < 16 else [(number << 3 & 127) | kind | 128, 1]) + value.to_bytes(size, "little")

    def place(address, token=7):
        return message((1, address), (2, "dc1"), (3, "r2"), (4, struct.pack("<I", token)))

    def member(name, state=2, claim=0, where="10.0.0.2:8101", mark=1700000000, token=7):
        return (message((1, bytes([name]) * 16)) + fixed(2, mark << 32) + message((3, state), (5, claim)) +
                fixed(6, 99) + message((7, place(where, token))))

    def gossip(kind, sender=None, more=b"", cluster="test", address="10.0.0.2:8101"):
        inner = message((1, cluster), (2, kind), (3, sender or member(2)), (4, address)) + more
        return message((1, inner))
    seq = fixed(7, 1, 4)
    yield "ping", gossip(1, more=seq)
    yield "ack", gossip(2, more=seq)
    yield "ask", gossip(3, more=seq + message((10, bytes([3]) * 16), (11, "10.0.0.3:8101")))
    yield "nack", gossip(4, more=seq + message((10, bytes([3]) * 16)))
    yield "news", gossip(5, more=message((12, [member(3), member(4, claim=1), member(0, claim=2)])))
    yield "contact", gossip(6, more=seq + message((5, 1)))
    yield "contact-settled", gossip(6, more=seq + message((13, bytes(512))))
    yield "welcome", gossip(7, more=message((12, [member(3)]), (18, 0), (19, 1)))
    yield "sync", gossip(8, more=message((13, bytes(512))))
    yield "digest", gossip(9, more=message((15, bytes([3]) * 32), (16, bytes(16))))
    yield "words", gossip(10, more=message((12, [member(3, claim=3)]), (17, bytes(16)), (20, bytes([2]) * 16)))
    yield "cluster", gossip(1, cluster="elsewhere")
    yield "future", gossip(1, sender=member(2, mark=4000000000))
    yield "self", gossip(1, sender=message((1, bytes([0] * 6 + [64, 0, 128, 0, 0, 0, 0, 0, 0, 1]))) +
                         fixed(2, 1700000009 << 32) + message((3, 2)) + fixed(6, 1))
    yield "taken", gossip(2, sender=member(2, token=0), more=seq)
    yield "none", message((2, bytes(32)))


def swim_inputs():
    """name -> choices; see fuzz_swim.c: the first byte says whether the node is settled."""
    yield "settled", bytes([1]) + bytes(range(4, 100))
    yield "unsettled", bytes([0, 1, 1]) + bytes(range(100, 200))
    yield "time", bytes([1]) + bytes([3, 63, 0, 200] * 8)
    yield "claims", bytes([1]) + bytes([4, 4, 1, 0, 0, 1, 0, 0, 2, 1] * 20)


def main():
    corpus = pathlib.Path(sys.argv[1])
    for core in ("resp", "resp3", "memcache", "frame", "link", "gossip", "swim"):
        (corpus / core).mkdir(parents=True, exist_ok=True)
    for name, pieces, stream in resp_inputs():
        (corpus / "resp" / name).write_bytes(bytes([len(pieces)]) + pieces + stream)
    for name, data in resp3_inputs():
        (corpus / "resp3" / name).write_bytes(data)
    for name, pieces, stream in memcache_inputs():
        (corpus / "memcache" / name).write_bytes(bytes([len(pieces)]) + pieces + stream)
    for name, choice, data in frame_inputs():
        (corpus / "frame" / name).write_bytes(bytes([choice]) + data)
    for name, reader, data in link_inputs():
        (corpus / "link" / name).write_bytes(bytes([reader]) + data)
    for name, data in gossip_inputs():
        (corpus / "gossip" / name).write_bytes(data)
    for name, data in swim_inputs():
        (corpus / "swim" / name).write_bytes(data)


if __name__ == "__main__":
    main()
