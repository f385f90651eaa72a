"""A peer that speaks the link protocol and says whatever a test wants: the frame codec of
src/wire/frame.h and the messages of proto/link.proto, written down a second time, by hand."""
import hashlib
import hmac
import os
import socket
import struct
import time

HEAD = 40
WRITE, SKIP, PACKED = 1, 2, 4
HELLO, CHALLENGE, PROOF, WELCOME, REFUSE = 10, 11, 12, 13, 14
GOSSIP = 50
ACK, REPLY, REWIND, STATE, READ_REPLY = 20, 21, 22, 23, 24
READ, INSPECT, EXECUTE, COPY, MEND, BEAT = 30, 31, 32, 33, 34, 40
WANT_REPLY, FAILED = 1, 2
U64 = (1 << 64) - 1

# ---- frames -------------------------------------------------------------------------------------


def _table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


TABLE = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def frame(kind, payload=b"", seq=0, stamp=0, deadline=0, flags=0, tag=0):
    under = struct.pack("<BBHIQQQ", kind, flags, tag, 0, seq, stamp, deadline) + payload
    return struct.pack("<II", HEAD + len(payload), crc32c(under)) + under


def lz4(data, run=0):
    """An LZ4 block of literals; run: and so many times the last byte again (more than 3)."""
    def more(n):
        return b"\xff" * ((n - 15) // 255) + bytes([(n - 15) % 255]) if n >= 15 else b""
    end = b"\x50" + data[-1:] * 5 if run else b""  # a block's last five bytes are literals
    match = run - 5 - 4 if run else 0
    token = bytes([min(len(data), 15) << 4 | min(match, 15)])
    return token + more(len(data)) + data + (b"\x01\x00" + more(match) + end if run else b"")


def unlz4(block):
    """What the block holds."""
    out, at = bytearray(), 0

    def size(n):
        nonlocal at
        more = n == 15
        while more:
            n, more, at = n + block[at], block[at] == 255, at + 1
        return n
    while at < len(block):
        token = block[at]
        at += 1
        literals = size(token >> 4)
        out += block[at:at + literals]
        at += literals
        if at < len(block):
            back = int.from_bytes(block[at:at + 2], "little")
            at += 2
            for _ in range(size(token & 15) + 4):
                out.append(out[-back])
    return bytes(out)


def packed(*frames):
    """What a sender packs, here without shrinking."""
    raw = b"".join(frames)
    return frame(PACKED, struct.pack("<I", len(raw)) + lz4(raw))


def resp(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def stamp_now(ahead_ms=0):
    return int(time.time() * 1000 + ahead_ms) << 16


def now_text(seconds=0):
    """The time as the log writes it."""
    t = time.time() + seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t * 1000) % 1000:03d}"


# ---- protobuf: varints and byte strings -----------------------------------------------------------


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def message(*fields):
    """(number, value) pairs; a list stands for a repeated number."""
    out = b""
    for number, value in fields:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                out += varint(number << 3) + varint(one)
            else:
                one = one if isinstance(one, bytes) else one.encode()
                out += varint(number << 3 | 2) + varint(len(one)) + one
    return out


def parse(data):
    """number -> value (the last one)."""
    out, at = {}, 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n
    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        out[key >> 3] = value
    return out


# ---- a peer -------------------------------------------------------------------------------------


class Refused(Exception):
    """The other side said no; the text is its reason."""


class Ended(Exception):
    """The other side closed the connection without a word."""


class Link:
    """One connection and who we say we are. Works in both directions: as a sender, which greets, and
    as a receiver, which is greeted."""

    def __init__(self, sock, node_id, **who):
        self.sock = sock
        self.sock.settimeout(10)
        self.buffer = b""
        self.id = node_id
        self.cluster, self.secret = "test", ""
        self.protocol, self.mark = 1, int(time.time())
        self.datacenter, self.rack, self.tokens = "dc1", "rack3", [0]
        self.address, self.hints_upto = "127.0.0.1:1", 0
        for name, value in who.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        self.challenge = os.urandom(32)
        self.applied = None

    @classmethod
    def dial(cls, port, node_id, **who):
        return cls(socket.create_connection(("127.0.0.1", port), timeout=10), node_id, **who)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.sock.close()

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def read(self, n):
        while len(self.buffer) < n:
            try:
                part = self.sock.recv(1 << 16)
            except ConnectionError as error:
                raise Ended() from error
            if not part:
                raise Ended()
            self.buffer += part
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def receive(self):
        """(kind, seq, payload, flags) of the next frame; a refusal is raised."""
        head = self.read(HEAD)
        size, crc, kind, flags, _, _, seq, _, _ = struct.unpack("<IIBBHIQQQ", head)
        payload = self.read(size - HEAD)
        assert crc == crc32c(head[8:] + payload), "a frame with a wrong checksum"
        if kind == REFUSE:
            raise Refused(parse(payload)[1].decode())
        return kind, seq, payload, flags

    def expect(self, *kinds):
        """The next frame of one of these kinds; others are passed over."""
        while True:
            got = self.receive()
            if got[0] in kinds:
                return got

    def prove(self, role, sender, receiver, ours, theirs):
        if not self.secret:
            return b""
        text = f"dynomited-{role}:{self.cluster}:{sender}:{receiver}:".encode() + ours + theirs
        return hmac.new(self.secret.encode(), text, hashlib.sha256).digest()

    # as a sender

    def hello(self, **more):
        """The greeting's payload; more: field number (as f3=...) -> another value."""
        fields = {1: self.protocol, 2: self.cluster, 3: self.id, 4: self.mark, 5: self.datacenter,
                  6: self.rack, 7: self.tokens, 8: self.address, 9: self.challenge,
                  10: int(time.time() * 1000), 11: self.hints_upto, 12: "embedded"}
        fields.update({int(k[1:]): v for k, v in more.items()})
        return message(*fields.items())

    def greet(self, **more):
        """HELLO up to the receiver's CHALLENGE."""
        self.send(frame(HELLO, self.hello(**more)))
        self.theirs = parse(self.expect(CHALLENGE)[2])
        return self

    def proof(self):
        return self.prove("sender", self.id, self.theirs[3].decode(), self.challenge, self.theirs[8])

    def link(self, **more):
        """The whole handshake; afterwards `applied` says where the receiver stands."""
        self.greet(**more)
        self.send(frame(PROOF, message((1, self.proof()))))
        self.applied = parse(self.expect(WELCOME)[2]).get(1, 0)
        return self

    def numbers(self):
        """The number to begin with: the first of our start mark, announced by a skip if need be."""
        first = max(self.mark << 32, self.applied) + 1
        if first != self.applied + 1:
            self.skip(self.applied, first - 1)
        return first

    def skip(self, after, upto):
        self.send(frame(SKIP, struct.pack("<Q", after), seq=upto))

    def write(self, seq, *words, **head):
        head.setdefault("stamp", stamp_now())
        self.send(frame(WRITE, resp(*words), seq=seq, **head))

    def acked(self, seq):
        """Waits until everything up to seq is acknowledged."""
        while self.expect(ACK)[1] < seq:
            pass

    # as a receiver

    def answer_hello(self, theirs, **more):
        fields = {1: self.protocol, 2: self.cluster, 3: self.id, 4: self.mark, 5: self.datacenter,
                  6: self.rack, 7: self.tokens, 8: self.challenge,
                  9: self.prove("receiver", theirs[3].decode(), self.id, theirs[9], self.challenge),
                  10: int(time.time() * 1000)}
        fields.update({int(k[1:]): v for k, v in more.items()})
        return message(*fields.items())

    def welcome(self, applied, state=2, **more):
        """Is greeted and lets the sender in."""
        theirs = parse(self.expect(HELLO)[2])
        self.send(frame(CHALLENGE, self.answer_hello(theirs, **more)))
        self.expect(PROOF)
        self.send(frame(WELCOME, message((1, applied), (2, state), (3, 1))))
        return self
