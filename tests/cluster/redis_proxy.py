"""What may stand between a node and its Redis: a proxy that cuts the writing connection at a given
byte and keeps the rest of its bytes until the next connection has read the numbers; one whose
answers can be held up; and a server that only answers INFO."""
import os
import socket
import threading


class Link:
    """One connection of the node, and the one to Redis behind it."""

    def __init__(self, proxy, near):
        self.proxy, self.near = proxy, near
        self.far = socket.socket(socket.AF_UNIX)
        self.far.connect(proxy.backend)
        self.passed = 0             # bytes that Redis got
        self.cut_at = None          # how many it gets
        self.held = b""
        self.seen = b""             # the end of what the node sent, to find the greeting in it
        self.asked_numbers = self.greeted = False
        self.cut = threading.Event()
        self.ended = threading.Event()      # nothing more comes from the node
        for pump in (self.up, self.down):
            threading.Thread(target=pump, daemon=True).start()

    def up(self):
        while True:
            try:
                data = self.near.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            if self.cut.is_set():
                self.held += data
            else:
                self.forward(data)
        self.ended.set()
        if not self.cut.is_set():
            self.far.close()
        self.near.close()

    def forward(self, data):
        self.seen = (self.seen + data)[-4096:]
        if b"HGETALL\r\n" in self.seen:
            self.asked_numbers = True
        if self.cut_at is not None and self.passed + len(data) >= self.cut_at:
            n = max(0, self.cut_at - self.passed)
            self.cut.set()
            self.held = data[n:]
            data = data[:n]
        try:
            self.far.sendall(data)
        except OSError:
            pass
        self.passed += len(data)
        if self.cut.is_set():
            self.proxy.on_cut(self)

    def down(self):
        while True:
            try:
                data = self.far.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            if self.asked_numbers and not self.greeted and b"*" in data:
                self.greeted = True
                self.proxy.on_greeted(self)
            if not self.cut.is_set():
                try:
                    self.near.sendall(data)
                except OSError:
                    pass
        if not self.cut.is_set():
            try:
                self.near.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def release(self):
        """Lets Redis have the rest, and waits until it has done with it."""
        try:
            self.far.sendall(self.held)
            self.far.shutdown(socket.SHUT_WR)
            while True:
                self.far.settimeout(10)
                if not self.far.recv(65536):
                    break
        except OSError:
            pass
        self.far.close()


class Proxy:
    """plan: called for each writing connection, gives the byte at which it is cut, counted from its
    first, or None. A cut connection ends for the node at once (or, with hold_open, when the node
    dies); its other bytes reach Redis when the next one has got the numbers from Redis: before that
    reads them (late=False) or while it goes on (late=True)."""

    def __init__(self, path, backend, plan, late=lambda: False, hold_open=lambda: False):
        self.path, self.backend, self.plan, self.late, self.hold_open = path, backend, plan, late, hold_open
        self.waiting = []           # cut links whose bytes Redis hasn't got
        self.cuts = self.released = self.stale_bytes = 0
        self.was_cut = threading.Event()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                Link(self, near)  # lives as long as its threads
            except OSError:
                near.close()

    def close(self):
        self.listener.close()

    def on_cut(self, link):
        self.waiting.append(link)
        self.cuts += 1
        self.was_cut.set()
        if not self.hold_open():
            try:
                link.near.shutdown(socket.SHUT_WR)  # what the node has sent by now is still read
            except OSError:
                pass

    def on_greeted(self, link):
        """The numbers are read; the old bytes come now."""
        old, self.waiting = self.waiting, []
        if old:
            worker = threading.Thread(target=self.release, args=(old,), daemon=True)
            worker.start()
            if not self.late():
                worker.join()
        n = self.plan()
        link.cut_at = None if n is None else link.passed + n

    def release(self, links):
        for old in links:
            old.ended.wait(10)
            self.stale_bytes += len(old.held)
            old.release()
            self.released += 1


class Gate:
    """Passes everything on, but while it is shut nothing that Redis answers: it is slow, and not gone."""

    def __init__(self, path, backend):
        self.path, self.backend = path, backend
        self.open = threading.Event()
        self.open.set()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.backend)
            threading.Thread(target=self.pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, True), daemon=True).start()

    def pump(self, source, sink, gated):
        try:
            while data := source.recv(65536):
                if gated:
                    self.open.wait()
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.open.set()
        self.listener.close()


class OldServer:
    """Answers INFO as a Redis of another version, everything else with an error."""

    def __init__(self, path, version):
        self.path, self.version = path, version
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        text = f"# Server\r\nredis_version:{self.version}\r\nloading:0\r\nrole:master\r\n".encode()
        try:
            while data := s.recv(4096):
                for _ in range(data.count(b"*")):
                    s.sendall(b"$%d\r\n%s\r\n" % (len(text), text) if b"INFO" in data else b"-ERR unknown command\r\n")
        except OSError:
            pass
        s.close()

    def close(self):
        self.listener.close()
        os.unlink(self.path)
