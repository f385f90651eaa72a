"""RESP by hand, for tests that look at bytes: a connection that sends what it is told and reads one
raw reply after the other."""
import socket


def command(*words):
    """One command as a client library sends it."""
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Wire:
    """A socket to a port of loopback or a unix path. Context manager."""

    def __init__(self, where, timeout=20):
        if isinstance(where, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(where)
        else:
            self.socket = socket.create_connection(("127.0.0.1", where), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        """The next reply, as it came; b"" when the other side has closed."""
        line = self.file.readline()
        kind = line[:1]
        if kind in (b"$", b"=") and line[1:2] != b"-":
            size = int(line[1:]) + 2
            body = self.file.read(size)
            assert len(body) == size, "closed within a reply"
            return line + body
        if kind in (b"*", b"%", b"~") and line[1:2] != b"-":
            n = int(line[1:]) * (2 if kind == b"%" else 1)
            return line + b"".join(self.reply() for _ in range(n))
        return line

    def ask(self, *words):
        self.send(command(*words))
        return self.reply()

    def rest(self):
        """Everything up to the end that the other side makes."""
        got = b""
        while True:
            try:
                part = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return got
            if not part:
                return got
            got += part
