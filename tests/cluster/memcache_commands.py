"""Random lines of memcached's protocol from a seed, and what two servers answer to them: the same, byte by byte, but for
what each memcached numbers and times by itself."""
import base64
import random
import re
import select
import socket
import time

KEYS = [b"key%d" % i for i in range(24)] + [b"k" * 250, b"with\ttab", b"\xff\xfe"]
COUNTERS = [b"number%d" % i for i in range(6)]
BINARY = [base64.b64encode(b"\x00\x01 bin%d" % i) for i in range(6)]
TTLS = [b"0", b"0", b"0", b"100", b"2592000", b"-1", b"2592001", b"+60"]
NUMBERS = [b"0", b"1", b"5", b"17", b"4294967296", b"999999999999"]
ODD_NUMBERS = [b"x", b"-1", b"18446744073709551616", b"1x", b"-", b"\t2"]


class Lines:
    """alone: one memcached is behind it, so that also what a memcached knows of each access is the same."""

    def __init__(self, seed, alone=True):
        self.random = random.Random(seed)
        self.alone = alone
        kinds = [(self.get, 20), (self.store, 25), (self.delete, 4), (self.arithmetic, 8), (self.touch, 4), (self.gat, 3),
                 (self.mg, 12), (self.ms, 12), (self.md, 5), (self.ma, 6), (self.bad, 6), (self.bad_value, 1),
                 (self.plain, 2), (self.large, 0.15)]
        if alone:
            kinds += [(self.me, 1)]
        self.kinds, self.weights = zip(*kinds)

    def next(self):
        """A command, whole."""
        return self.random.choices(self.kinds, self.weights)[0]()

    def key(self):
        return self.random.choice(KEYS)

    def any_key(self):
        return self.counter() if self.random.random() < 0.2 else self.key()

    def counter(self):
        """Of a number that becomes shorter a memcached keeps the blanks or not, as it happens: nothing is joined to them,
        and their length isn't asked for. They are never blank, nor more than 63 bits, or it would read on behind them."""
        return self.random.choice(COUNTERS)

    def value(self):
        r = self.random
        if r.random() < 0.4:
            return r.choice(NUMBERS)
        n = r.choice([0, 1, 2, 20, 200]) if r.random() < 0.95 else r.randrange(70000)
        return r.choice([b"v", b"\r\n", b"\x00\xff", b"END\r\n"]) * (n // 2) + b"." * (n % 2)

    def noreply(self):
        return b" noreply" if self.random.random() < 0.15 else b""

    def flags(self):
        return self.random.choice([b"0", b"0", b"5", b"4294967295", b"65536"])

    def get(self):
        n = self.random.choice([1, 1, 1, 2, 5, 30])
        return self.random.choice([b"get ", b"get ", b"gets "]) + b" ".join(self.any_key() for _ in range(n)) + b"\r\n"

    def gat(self):
        n = self.random.choice([1, 1, 3])
        return b"gat %s " % self.random.choice(TTLS) + b" ".join(self.key() for _ in range(n)) + b"\r\n"

    def store(self):
        name = self.random.choice([b"set", b"set", b"set", b"add", b"replace", b"append", b"prepend"])
        key = self.key() if name in (b"append", b"prepend") else self.any_key()
        value = self.value() if key in KEYS else self.random.choice([*NUMBERS, b"none", b""])
        ttl = self.random.choice(TTLS)
        return b"%s %s %s %s %d%s\r\n%s\r\n" % (name, key, self.flags(), ttl, len(value), self.noreply(), value)

    def delete(self):
        return b"delete %s%s%s\r\n" % (self.any_key(), self.random.choice([b"", b"", b" 0"]), self.noreply())

    def arithmetic(self):
        name = self.random.choice([b"incr", b"decr"])
        key = self.counter() if self.random.random() < 0.9 else b"never-a-number"
        return b"%s %s %s%s\r\n" % (name, key, self.random.choice(NUMBERS), self.noreply())

    def touch(self):
        return b"touch %s %s%s\r\n" % (self.key(), self.random.choice(TTLS), self.noreply())

    def meta(self, name, fixed, wishes, *, quiet=True, key=None):
        """Each flag at most once, in any order. What is joined doesn't know any more that its key came in base64."""
        r = self.random
        binary = not key and r.random() < 0.2
        flags = [w for w in wishes if r.random() < 0.3 and not (binary and w in (b"MA", b"MP"))]
        flags += [b"b"] * binary + [b"q"] * (quiet and r.random() < 0.2)
        flags += [b"O" + b"o" * r.randrange(32)] * (r.random() < 0.3)
        flags += [b"k"] * (r.random() < 0.3) + [b"Pproxy", b"Lhint"] * (r.random() < 0.1)
        r.shuffle(flags)
        key = r.choice(BINARY) if binary else key or self.key()
        return b" ".join([name, key, *fixed, *flags])

    def ttl_flag(self, letter):
        return letter + self.random.choice(TTLS)

    def mg(self):
        """An item that N makes doesn't know that its key came in base64, and tells it as it is: such lines aren't made."""
        wishes = [b"s", b"t", b"f", b"v", b"v", b"v", b"u", b"c", self.ttl_flag(b"T")]
        wishes += [b"h", b"l", b"R30"] if self.alone else []
        makes = self.random.random() < 0.2
        fixed, key = ([self.ttl_flag(b"N")], self.key()) if makes else ([], None)
        return self.meta(b"mg", fixed, list(dict.fromkeys(wishes)), key=key) + b"\r\n"

    def ms(self):
        value = self.value()
        wishes = [self.ttl_flag(b"T"), b"F" + self.flags(), b"M" + self.random.choice([b"E", b"A", b"P", b"R", b"S"])]
        wishes += [b"c", b"I"]
        return self.meta(b"ms", [b"%d" % len(value)], wishes) + b"\r\n" + value + b"\r\n"

    def md(self):
        wishes = [b"I", self.ttl_flag(b"T")] if self.alone else [b"v"]
        return self.meta(b"md", [], wishes) + b"\r\n"

    def ma(self):
        """With q a new number is told of all the same, and T may be given to an item that is no longer there, while an answer
        that tells it waits in the pipeline: such lines aren't made."""
        vivify = self.random.random() < 0.3
        wishes = [b"t", b"v", b"v", b"D" + self.random.choice(NUMBERS), b"M" + self.random.choice([b"I", b"D", b"+", b"-"])]
        wishes += [b"c"]
        fixed = [b"N" + self.random.choice([b"0", b"100"])] + [b"J13"] * (self.random.random() < 0.5) if vivify else []
        return self.meta(b"ma", fixed, list(dict.fromkeys(wishes)), quiet=not vivify, key=self.counter()) + b"\r\n"

    def me(self):
        return b"me %s\r\n" % self.key()

    def plain(self):
        return self.random.choice([b"version\r\n", b"mn\r\n", b"verbosity 0\r\n", b"verbosity 0 noreply\r\n"])

    def bad(self):
        key, odd = self.key(), self.random.choice(ODD_NUMBERS)
        return self.random.choice([
            b"\r\n", b"\n", b"nonsense\r\n", b"get\r\n", b"SET a 0 0 1\r\n", b"gat %s %s\r\n" % (odd, key), b"gat 10\r\n",
            b"set %s 0 0\r\n" % key, b"set %s %s 0 noreply\r\n" % (key, odd), b"set %s 0 0 -1\r\n" % key,
            b"set %s 0 %s 2147483646\r\n" % (key, odd), b"cas %s 0 0 1 x\r\n" % key, b"touch %s x\r\n" % key,
            b"incr %s x\r\n" % key, b"incr %s x noreply\r\n" % key, b"incr %s\r\n" % key, b"delete %s 5\r\n" % key,
            b"delete %s 0 0\r\n" % key, b"delete %s\r\n" % (b"k" * 251), b"touch %s 0\r\n" % (b"k" * 251),
            b"mg\r\n", b"mg %s v v\r\n" % key, b"mg %s y\r\n" % key, b"mg %s T%s\r\n" % (key, b"x"), b"mg ! b\r\n",
            b"mg %s v u O%s\r\n" % (key, b"o" * 32), b"mg %s%s\r\n" % (key, b" v" * 20), b"mg %s\r\n" % (b"k" * 251),
            b"ms %s\r\n" % key, b"ms %s S2\r\n" % key, b"ms %s 2 MX\r\nxy\r\n" % key, b"ms %s 2 C%s q\r\nxy\r\n" % (key, b"x"),
            b"ms %s 2 F%s\r\nxy\r\n" % (key, b"x"), b"ms %s 2 MSS\r\nxy\r\n" % key, b"ms %s -1\r\n" % key,
            b"md %s Cx\r\n" % key, b"md %s k k\r\n" % key, b"ma %s MX\r\n" % key, b"ma %s Dx\r\n" % key, b"ma %s Jx N0\r\n" % key,
            b"me\r\n", b"stats nothing\r\n", b"verbosity\r\n", b"verbosity x\r\n", b"mx %s\r\n" % key, b"get %s\0 b\r\n" % key,
            b"  get   %s  \n" % key])

    def bad_value(self):
        """Its end isn't where it should be."""
        return self.random.choice([b"set %s 0 0 3%s\r\nlong\r\n", b"ms %s 3 T0%s\r\nlong\r\n", b"set %s 0 0 5%s\r\nab\r\n...\r\n"]) % (
            self.key(), self.random.choice([b"", b""]))

    def large(self):
        n = self.random.choice([1048000, 1048577, 1100000, 3000000])
        line = self.random.choice([b"set %s 0 0 %d%s", b"add %s 0 0 %d%s", b"append %s 0 0 %d%s", b"ms %s %d%s"])
        return line % (self.key(), n, b"" if line[:2] == b"ms" else self.noreply()) + b"\r\n" + b"L" * n + b"\r\n"


class Server:
    """A connection to one of the two."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)

    def close(self):
        self.socket.close()

    def ask(self, commands):
        """All at once; the bytes of all answers. Large pipelines: it reads while it writes. The end is told by commands that
        need no store, and that hardly ever come in this order."""
        last = b"MN\r\nMN\r\nVERSION 1.6.18\r\nMN\r\n"
        left = memoryview(b"".join(commands) + b"mn\r\nmn\r\nversion\r\nmn\r\n")
        got = bytearray()
        self.socket.setblocking(False)
        deadline = time.monotonic() + 60
        while not got.endswith(last):
            assert time.monotonic() < deadline, f"no answer; so far ...{bytes(got[-300:])!r}"
            try:
                left = left[self.socket.send(left):] if left else left
            except BlockingIOError:
                pass
            try:
                more = self.socket.recv(1 << 20)
                assert more, f"closed after ...{bytes(got[-300:])!r}"
                got += more
            except BlockingIOError:
                select.select([self.socket], [self.socket] if left else [], [], 1)
        return bytes(got[:-len(last)])


def answers(stream):
    """Each line, with the value behind it where it has one."""
    at = 0
    while at < len(stream):
        end = stream.index(b"\r\n", at) + 2
        line = stream[at:end]
        words = line[:-2].split(b" ")
        n = None
        if words[:1] == [b"VALUE"]:
            n = int(words[3])
        elif words[:1] == [b"VA"]:
            n = int(words[1])
        value = b"" if n is None else stream[end:end + n + 2]
        yield line, value
        at = end + len(value)


NUMBERED = re.compile(rb"(?<= )(c|l)\d+(?=[ \r])|(?<=cas=)\d+|(?<=la=)\d+")
TIMED = re.compile(rb"(?<= )t(\d+)(?=[ \r])|(?<=exp=-)(\d+)")


def without_numbers(line):
    """What each memcached counts by itself is left out: uniques, seconds since the last access."""
    words = line.split(b" ")
    if words[0] == b"VALUE" and len(words) == 5:
        line = b" ".join(words[:4]) + b" #\r\n"
    return NUMBERED.sub(b"#", line)


PADDED = re.compile(rb"\d{1,20} *\r\n")


def without_blanks(answer):
    """A number without what stands behind it (Lines.counter)."""
    line, value = answer
    if not PADDED.fullmatch(value):
        return answer
    number = value.split()[0]
    words = line[:-2].split(b" ")
    words[3 if words[0] == b"VALUE" else 1] = b"%d" % len(number)
    return b" ".join(words) + b"\r\n", number


def times(line):
    """Of what is over, since when depends on how long that memcached has run."""
    return [min(int(a or b), 1 << 31) for a, b in TIMED.findall(line)]


def same(a, b):
    """Of two answers. Remaining seconds may be a few apart, since there are two clocks of whole seconds in each."""
    a, b = without_blanks(a), without_blanks(b)
    if a[1] != b[1]:
        return False
    near = all(abs(x - y) <= 3 for x, y in zip(times(a[0]), times(b[0])))
    return near and TIMED.sub(b"#", without_numbers(a[0])) == TIMED.sub(b"#", without_numbers(b[0]))


def difference(ours, theirs):
    """Of two streams; None: there is none."""
    if ours == theirs:
        return None
    a, b = list(answers(ours)), list(answers(theirs))
    for i, (x, y) in enumerate(zip(a, b)):
        if not same(x, y):
            return f"answer {i}: {x[0]!r} {x[1][:60]!r}, a memcached: {y[0]!r} {y[1][:60]!r}"
    return None if len(a) == len(b) else f"{len(a)} answers, a memcached: {len(b)}"


def compare(ours, theirs, seed, count, *, alone=True, batch=100):
    """count commands to both, pipelined. An AssertionError shows the first that differs. Returns how many answers were compared."""
    lines, compared = Lines(seed, alone), 0
    a, b = Server(ours), Server(theirs)
    try:
        for start in range(0, count, batch):
            commands = [lines.next() for _ in range(min(batch, count - start))]
            x, y = a.ask(commands), b.ask(commands)
            wrong = difference(x, y)
            assert not wrong, f"seed {seed}, commands from {start} on: {wrong}\n" + explain(commands)
            compared += sum(1 for _ in answers(x))
    finally:
        a.close()
        b.close()
    return compared


def explain(commands):
    return "\n".join(repr(c[:120]) for c in commands)


def unique(server, key):
    """Of the value that this server has; 5 where it has none."""
    words = server.ask([b"gets %s\r\n" % key]).split(b"\r\n", 1)[0].split(b" ")
    return int(words[4]) if words[0] == b"VALUE" else 5


def unique_lines(rand, key, at):
    """Commands that compare, with the unique of each of the two servers, or another one. A number that is stale may be so
    no more when it is changed, as it happens: some keys are numbers, others become stale."""
    wrong = rand.choice([0, 0, 0, 0, 3, 1 << 40])
    at = [0 if wrong == 1 << 40 else n + wrong for n in at]
    value = rand.choice([b"1", b"value"])
    own = [b"md %s C%%d I T100\r\n"] if key.endswith(b"stale") else [b"ma %s C%%d v c\r\n", b"ma %s C%%d N100 J7 v t\r\n"]
    line = rand.choice([b"cas %s 7 0 %d %%d\r\n%s\r\n" % (key, len(value), value),
                        b"cas %s 7 100 %d %%d noreply\r\n%s\r\n" % (key, len(value), value),
                        b"ms %s %d C%%d c k O1\r\n%s\r\n" % (key, len(value), value),
                        b"ms %s %d C%%d %s\r\n%s\r\n" % (key, len(value), rand.choice([b"q", b"MR", b"MA", b"MP", b"ME", b"F5"]), value),
                        b"md %s C%%d k\r\n" % key, b"md %s q C%%d\r\n" % key, *(line % key for line in own)])
    return [line % n for n in at]


def compare_uniques(ours, theirs, seed, count):
    """The same of count commands that compare, each behind one that asks both for theirs."""
    rand, compared = random.Random(seed), 0
    a, b = Server(ours), Server(theirs)
    keys = [b"unique1", b"unique2", b"unique3-stale", b"unique4-stale"]
    try:
        for i in range(count):
            key = rand.choice(keys)
            before = [rand.choice([b"set %s 3 0 1\r\n5\r\n", b"append %s 0 0 1\r\n5\r\n", b"get %s\r\n", b"delete %s\r\n"]) % key]
            wrong = difference(a.ask(before), b.ask(before))
            x, y = unique_lines(rand, key, [unique(a, key), unique(b, key)])
            after = [b"mg %s v f t\r\n" % key]
            got, bare = a.ask([x, *after]), b.ask([y, *after])
            wrong = wrong or difference(got, bare)
            assert not wrong, f"seed {seed}, command {i}, {before}, {x!r}, {y!r}: {wrong}"
            compared += 1 + sum(1 for _ in answers(got))
    finally:
        a.close()
        b.close()
    return compared
