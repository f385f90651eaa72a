#!/usr/bin/python3
"""Writes the inputs that the searches of fuzz_resp and fuzz_frame start from, into the directory
given (tests/fuzz/corpus). What a search has found worth keeping is added by hand under any other
name; nothing here depends on chance, so that a second run changes nothing."""
import pathlib
import struct
import sys


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


def main():
    corpus = pathlib.Path(sys.argv[1])
    for core in ("resp", "frame"):
        (corpus / core).mkdir(parents=True, exist_ok=True)
    for name, pieces, stream in resp_inputs():
        (corpus / "resp" / name).write_bytes(bytes([len(pieces)]) + pieces + stream)
    for name, choice, data in frame_inputs():
        (corpus / "frame" / name).write_bytes(bytes([choice]) + data)


if __name__ == "__main__":
    main()
