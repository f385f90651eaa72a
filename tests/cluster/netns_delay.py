"""netns_delay.py MS: two taps, tap0 and tap1; what comes out of one goes into the other MS ms later, in order. Says `ready`; ends when
its standard input does. netns.py starts it in the namespace in which the taps shall be."""
import collections
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x0002, 0x1000
FRAME_MAX = 65536
WAITING_MAX = 64 << 20  # bytes on the way; what is more is lost, as it would be in a router


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Way:
    """From one tap to the other."""

    def __init__(self, source, target, delay):
        self.source, self.target, self.delay = source, target, delay
        self.waiting, self.size = collections.deque(), 0  # (when it is due, frame)

    def take(self):
        try:
            while True:
                frame = os.read(self.source, FRAME_MAX)
                if self.size + len(frame) <= WAITING_MAX:
                    self.waiting.append((time.monotonic() + self.delay, frame))
                    self.size += len(frame)
        except BlockingIOError:
            pass

    def give(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            frame = self.waiting.popleft()[1]
            self.size -= len(frame)
            try:
                os.write(self.target, frame)
            except OSError:  # the other side isn't up, or its queue is full: lost
                pass


def main():
    here, there = tap("tap0"), tap("tap1")
    delay = float(sys.argv[1]) / 1000
    ways = {here: Way(here, there, delay), there: Way(there, here, delay)}
    print("ready", flush=True)
    while True:
        due = [w.waiting[0][0] for w in ways.values() if w.waiting]
        wait = max(0, min(due) - time.monotonic()) if due else None
        readable, _, _ = select.select([sys.stdin, here, there], [], [], wait)
        if sys.stdin in readable:
            return
        for fd in readable:
            ways[fd].take()
        for way in ways.values():
            way.give()


main()
