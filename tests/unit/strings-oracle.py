#!/usr/bin/python3
"""Writes the replies of a real Redis 7.0 into the vectors of the string commands.

    strings-oracle.py PORT FILE     FILE is rewritten; the server is emptied

Lines: `> command` as redis-cli takes it inline, `< reply` with escapes, `#` comments. Only for
whoever changes the vectors: `make check` reads the file and needs no Redis."""
import socket
import sys


def read_reply(f):
    line = f.readline()
    if line[:1] == b"$" and line != b"$-1\r\n":
        return line + f.read(int(line[1:]) + 2)
    if line[:1] == b"*":
        return line + b"".join(read_reply(f) for _ in range(int(line[1:])))
    return line


def escape(raw):
    out = raw.decode("latin-1").encode("unicode_escape").decode("ascii")
    return out.replace('"', '\\"')


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    server = socket.create_connection(("127.0.0.1", port))
    f = server.makefile("rb")
    server.sendall(b"FLUSHALL\r\n")
    read_reply(f)
    out = []
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("<"):
                continue
            out.append(line)
            if line.startswith("> "):
                server.sendall(line[2:].rstrip("\n").encode("ascii") + b"\r\n")
                out.append("< " + escape(read_reply(f)) + "\n")
    with open(path, "w", encoding="ascii") as lines:
        lines.writelines(out)


main()
