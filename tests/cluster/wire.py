"""RESP by hand, for tests that look at bytes: a connection that sends what it is told and reads one
raw reply after the other, and a generator of command lines that nobody would write on purpose."""
import random
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


class Commands:
    """Random command lines, the same for the same seed. Lifetimes are long, or over, and never twice the
    same, so that the milliseconds between two servers decide nothing."""

    KEYS = [b"", b"a", b"b", b"n1", b"n2", b"f", b"bin\x00\r\n\xff", b"k" * 494, b"k" * 495, b"k" * 520 + b"1",
            b"k" * 520 + b"2", b"\xc3\xa9", b"{tag}x", b" "]
    NUMBERS = [b"0", b"1", b"-1", b"2", b"10", b"-0", b"+1", b"01", b" 1", b"1 ", b"1.5", b"1e3", b"0x10", b"inf", b"-inf", b"nan",
               b"", b"abc", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
               b"-9223372036854775809", b"9223372036854775806", b"4611686018427387904", b"99999999999999999999999999",
               b"18446744073709551615", b"1\x00", b"3.0", b".5", b"5.", b"1e400", b"1e-400", b"-.0", b"1e17", b"123456789.123456789"]
    VALUES = [b"", b"v", b"hello world", b"\x00\x01\x02", b"\r\n", b"12", b"-7", b"3.25", b"9223372036854775807", b"x" * 300, b"y" * 5000,
              b"1e2", b"0", b" 5", b"-9223372036854775808"]
    SPANS = [b"0", b"1", b"-1", b"2", b"5", b"-3", b"100", b"-100", b"9223372036854775807", b"-9223372036854775808", b"x", b"",
             b"9223372036854775808", b"1.0"]
    NAMES = ["GET", "SET", "SET", "SET", "SETNX", "SETEX", "PSETEX", "GETSET", "GETDEL", "GETEX", "APPEND", "STRLEN", "INCR", "DECR", "INCRBY",
             "DECRBY", "INCRBYFLOAT", "GETRANGE", "SUBSTR", "SETRANGE", "MGET", "MSET", "DEL", "UNLINK", "EXISTS", "TOUCH", "EXPIRE", "PEXPIRE",
             "EXPIREAT", "PEXPIREAT", "TTL", "PTTL", "PERSIST", "TYPE", "PING", "ECHO", "SELECT", "CLIENT", "COMMAND", "HELLO", "ODD"]

    def __init__(self, seed, now):
        self.r = random.Random(seed)
        self.now = now  # seconds, when the run began

    def pick(self, of):
        return self.r.choice(of)

    def key(self):
        return self.pick(self.KEYS)

    def value(self):
        if self.r.random() < 0.2:
            return self.r.randbytes(self.r.choice([1, 3, 20, 200]))
        return self.pick(self.VALUES)

    def lifetime(self, unit, absolute):
        """unit: milliseconds. Mostly a good one."""
        x = self.r.random()
        if x < 0.25:
            return self.pick(self.NUMBERS[:1] + self.NUMBERS[2:3] + self.NUMBERS[5:])  # not 1, 2, 10: too near
        if absolute and x < 0.35:
            return b"%d" % self.r.randrange(1, self.now * 1000 // unit - 100 * 1000 // unit)
        far = self.r.randrange(1000 * 1000, 10 ** 10) // unit
        return b"%d" % (far + (self.now * 1000 // unit if absolute else 0))

    LIFETIMES = {b"EX": (1000, False), b"PX": (1, False), b"EXAT": (1000, True), b"PXAT": (1, True)}

    def options(self, plain):
        """Options of SET and GETEX: plain words and lifetimes, at random and in random case."""
        words = []
        for _ in range(self.pick([0, 0, 1, 1, 1, 2, 2, 3, 4])):
            word = self.pick(plain + list(self.LIFETIMES))
            words.append(self.case(word))
            if word in self.LIFETIMES and self.r.random() < 0.95:
                words.append(self.lifetime(*self.LIFETIMES[word]))
        return words

    def case(self, word):
        word = word if isinstance(word, bytes) else word.encode()
        return self.pick([word, word, word.lower(), bytes(c ^ 32 if self.r.random() < .5 and chr(c).isalpha() else c
                                                          for c in word)])

    def arguments(self, name):
        r = self.r
        if name == "SET":
            return [self.key(), self.value()] + self.options([b"NX", b"XX", b"GET", b"KEEPTTL", b"KEEPTTL", b"BAD"])
        if name == "GETEX":
            return [self.key()] + self.options([b"PERSIST", b"NX"])
        if name == "SETEX":
            return [self.key(), self.lifetime(1000, False), self.value()]
        if name == "PSETEX":
            return [self.key(), self.lifetime(1, False), self.value()]
        if name in ("GET", "GETDEL", "STRLEN", "INCR", "DECR", "TTL", "PTTL", "PERSIST", "TYPE"):
            return [self.key()]
        if name in ("SETNX", "GETSET", "APPEND"):
            return [self.key(), self.value()]
        if name in ("INCRBY", "DECRBY", "INCRBYFLOAT"):
            return [self.key(), self.pick(self.NUMBERS)]
        if name in ("GETRANGE", "SUBSTR"):
            return [self.key(), self.pick(self.SPANS), self.pick(self.SPANS)]
        if name == "SETRANGE":
            return [self.key(), self.pick([b"0", b"1", b"7", b"700", b"-1", b"x", b"536870912", b"9223372036854775807"]),
                    self.value()]
        if name in ("MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"):
            return [self.key() for _ in range(r.choice([1, 1, 2, 3, 8]))]
        if name == "MSET":
            return [w for _ in range(r.choice([1, 2, 5])) for w in (self.key(), self.value())]
        if name in ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"):
            span = self.lifetime(1 if name[0] == "P" else 1000, name.endswith("AT"))
            return [self.key(), span] + [self.case(self.pick([b"NX", b"XX", b"GT", b"LT", b"GT", b"LT", b"ZZ"]))
                                         for _ in range(r.choice([0, 0, 1, 1, 1, 2]))]
        return self.words(name)

    def words(self, name):
        odd = [b"", b"0", b"00", b"-1", b"x", b"16", b"99999999999999999999"]
        return {"PING": lambda: [self.value()] if self.r.random() < .5 else [],
                "ECHO": lambda: [self.value()],
                "SELECT": lambda: [self.pick(odd)],
                "HELLO": lambda: self.pick([[], [b"2"], [b"1"], [b"x"], [b"2", b"SETNAME", b"me"], [b"2", b"SETNAME", b"a b"],
                                            [b"2", b"SETNAME"], [b"2", b"FOO"], [b"4", b"FOO"], [b"2", b"AUTH", b"x"]]),
                "CLIENT": lambda: self.pick([[b"ID"], [b"GETNAME"], [b"SETNAME", b"name%d" % self.r.randrange(9)], [b"SETNAME", b""],
                                             [b"SETNAME", b"a\nb"], [b"SETNAME"], [b"ID", b"x"], [b"GETNAME", b"x"],
                                             [b"NOPE"], [b"nope", b"x"], [b"setname", b"x", b"y"], [b"", b""], [b"SETINFO", b"LIB-NAME", b"t"],
                                             [b"SETNAME", b"\xff"], [b"gEtNaMe"]]),
                "COMMAND": lambda: self.pick([[b"COUNT"], [b"COUNT", b"x"], [b"INFO", b"get", b"nope"], [b"INFO"], [b"DOCS", b"get"],
                                              [b"GETKEYS", b"MSET", b"a", b"1", b"b", b"2"], [b"GETKEYS", b"GET", b"k"], [b"GETKEYS"],
                                              [b"GETKEYS", b"GET"], [b"GETKEYS", b"PING"], [b"GETKEYS", b"NOPE", b"x"], [b"NOPE"],
                                              [b"GETKEYS", b"set", b"k", b"v", b"ex", b"1"], [b"LIST", b"x"]]),
                "ODD": lambda: self.pick([[], [b"a"], [self.value(), self.value()], [b"z" * 200], [b"q" * 60] * 4])}[name]()

    def next(self):
        """(name, words): name is what the generator means, words are what is sent."""
        name = self.pick(self.NAMES)
        args = self.arguments(name)
        first = self.case(name)
        if name == "ODD":
            first = self.pick([b"NOPE", b"", b"GETT", b"get\x00", b"\xff\xfe", b"S ET", b"n" * 200, b"with\r\nline", b"SET|GET", b"'q'"])
        if self.r.random() < 0.04:  # wrong arity
            args = args[:-1] if self.r.random() < .5 else args + [self.value()]
        return name, [first] + args
