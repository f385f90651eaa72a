"""Nodes that have a network each, whose links a test cuts, makes lossy or slow: Linux network namespaces (root, iproute2, nftables).

    hub, a namespace         node's namespace
      br0 ---- link1 ~~~~~~~~ eth0 10.77.0.1      dynomited: peers on eth0, clients on a unix socket
      | `---- link2 ~~~~~~~~ eth0 10.77.0.2
      delay (a tap)
      |
      br1 ---- link3 ~~~~~~~~ eth0 10.77.0.3      one bridge for each datacenter

The namespaces have no names: this process holds them open, so that the kernel removes them, with everything in them, when
it ends, however it ends. Nothing of the host's network is touched. Faults are rules of nftables in the hub: packets are lost on
their way, and no sender is told. netem isn't everywhere, so what lies between two datacenters (`delay_ms`) is a process that
passes frames from one tap to another, late."""
import ctypes
import os
import subprocess
import sys
import threading

import pytest
import redis
import rig

CLONE_NEWNET = 0x40000000
NEEDED = ("ip", "nft", "nsenter")
libc = ctypes.CDLL(None, use_errno=True)


def syscall(name, *args):
    if getattr(libc, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


class Namespace:
    """A network of its own, with nothing in it but lo."""

    def __init__(self):
        self.fd, failed = None, []

        def make():  # a thread's network is its own, and ends with it
            try:
                syscall("unshare", CLONE_NEWNET)
                self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                failed.append(error)
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.run("ip", "link", "set", "lo", "up")

    def prefix(self):
        """Before a command, for it to run in here; its process is the one that is started."""
        return ["nsenter", f"--net={self.path}"]

    def run(self, *command, text=None):
        done = subprocess.run(self.prefix() + list(command), input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{text or ''}"
        return done.stdout

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def why_not():
    """What is missing here, or None."""
    for program in NEEDED:
        if subprocess.run(["sh", "-c", f"command -v {program}"], stdout=subprocess.DEVNULL, check=False).returncode:
            return f"{program} isn't installed"
    try:
        space = Namespace()
    except (OSError, AssertionError) as error:
        return f"no network namespaces here ({error})"
    try:
        space.run("ip", "link", "add", "br0", "type", "bridge")
        space.run("nft", "-f", "-", text=FAULTS.replace("RULES", "iifname lo numgen random mod 100 < 30 drop"))
    except AssertionError as error:
        return f"no bridges or no nftables here ({error})"
    finally:
        space.close()
    return None


def need():
    """Skips the test where there is no way."""
    reason = why_not()
    if reason:
        pytest.skip(reason)


def need_taps():
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"no taps here ({error})")


FAULTS = """table bridge faults
delete table bridge faults
table bridge faults {
    chain passing {
        type filter hook forward priority 0; policy accept
        RULES
    }
}
"""


class Network:
    """The hub, and a namespace for each node; sites[i] is the number of node i's datacenter."""

    def __init__(self, sites, delay_ms=0):
        self.spaces, self.delay, self.sites, self.broken = [], None, sites, []
        try:
            self.hub = self.space()
            for site in sorted(set(sites)):
                self.hub.run("ip", "link", "add", f"br{site}", "type", "bridge")
                self.hub.run("ip", "link", "set", f"br{site}", "up")
            if len(set(sites)) > 1:
                self.join(delay_ms)
            self.nodes = []
            for i, site in enumerate(sites):
                self.nodes.append(self.space())
                self.connect(i, site, self.address(i))
        except BaseException:
            self.close()
            raise

    def space(self):
        self.spaces.append(Namespace())
        return self.spaces[-1]

    @staticmethod
    def address(i):
        return f"10.77.0.{i + 1}"

    def connect(self, i, site, address):
        port = f"link{i + 1}"
        self.hub.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.nodes[i].path)
        self.hub.run("ip", "link", "set", port, "master", f"br{site}", "up")
        self.nodes[i].run("ip", "addr", "add", f"{address}/16", "dev", "eth0")
        self.nodes[i].run("ip", "link", "set", "eth0", "up")

    def move(self, i, address):
        """Node i has another address from now on, and no longer the one before."""
        self.nodes[i].run("ip", "addr", "flush", "dev", "eth0")
        self.nodes[i].run("ip", "addr", "add", f"{address}/16", "dev", "eth0")

    def join(self, delay_ms):
        """Two datacenters, with a way between them that takes so long."""
        need_taps()
        here, there = sorted(set(self.sites))
        command = [sys.executable, os.path.join(os.path.dirname(__file__), "netns_delay.py"), str(delay_ms)]
        self.delay = subprocess.Popen(self.hub.prefix() + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.delay.stdout.readline() == b"ready\n", "the process that delays frames doesn't run"
        for tap, site in (("tap0", here), ("tap1", there)):
            self.hub.run("ip", "link", "set", tap, "master", f"br{site}", "up")

    # ---- faults, until heal -------------------------------------------------------------------------

    def add_rules(self, *rules):
        self.broken += rules
        self.hub.run("nft", "-f", "-", text=FAULTS.replace("RULES", "\n".join(self.broken)))

    def cut(self, i):
        """As if the cable of node i were pulled."""
        self.add_rules(f"iifname link{i + 1} drop", f"oifname link{i + 1} drop")

    def separate(self, i, k):
        """Nodes i and k, of one datacenter, don't hear of each other; all others hear both."""
        self.add_rules(f"iifname link{i + 1} oifname link{k + 1} drop", f"iifname link{k + 1} oifname link{i + 1} drop")

    def deafen(self, i):
        """What is sent to node i is lost. It can be found (ARP), as where a firewall does it."""
        self.add_rules(f"oifname link{i + 1} meta protocol ip drop")

    def mute(self, i):
        """What node i sends is lost."""
        self.add_rules(f"iifname link{i + 1} meta protocol ip drop")

    def lose(self, i, percent):
        """So many of the packets from and to node i are lost."""
        for way in ("iifname", "oifname"):
            self.add_rules(f"{way} link{i + 1} numgen random mod 100 < {percent} drop")

    def part(self):
        """Nothing passes between the datacenters."""
        self.add_rules("iifname tap0 drop", "oifname tap0 drop")

    def part_one_way(self, to):
        """Nothing reaches one of the two datacenters (0 or 1) from the other."""
        self.add_rules(f"oifname tap{1 - to} drop")

    def heal(self):
        self.broken = []
        self.add_rules()

    def close(self):
        if self.delay:
            self.delay.stdin.close()  # it ends when nobody holds the other end
            self.delay.wait()
            self.delay.stdout.close()
            self.delay = None
        for space in self.spaces:
            space.close()


class NetNode(rig.Node):
    """A node in a namespace. Its clients come over a unix socket, whatever becomes of its network."""
    space = None  # set by NetCluster

    def socket_path(self):
        return self.directory + ".sock"

    def arguments(self):
        return self.space.prefix() + super().arguments()

    def client(self, **options):
        return redis.Redis(unix_socket_path=self.socket_path(), **{"socket_timeout": 15, **options})

    def http(self, path):
        """Nothing but the metrics, which dyn-admin has as well: HTTP is in the namespace."""
        assert path == "/metrics"
        return self.admin_run("metrics", check=True).stdout.decode()


class NetCluster(rig.Cluster):
    """rig.Cluster, each node in a namespace; .net has the faults. sites: of each node the bridge that it is at, 0 or 1, where
    that isn't its datacenter's."""
    node_class = NetNode

    def __init__(self, n=5, delay_ms=0, sites=None, **options):
        places = options.get("places") or [("dc1", f"rack{i + 1}", "0") for i in range(n)]
        names = sorted({dc for dc, _, _ in places})
        self.net = Network(sites or [names.index(dc) for dc, _, _ in places], delay_ms)
        try:
            super().__init__(n, **options)
        except BaseException:
            self.net.close()
            raise
        for i, node in enumerate(self.nodes):
            node.space = self.net.nodes[i]
            node.flags = {"listen": node.socket_path(), "dyn-listen": f"{self.host(i)}:{node.peer_port}", **node.flags}

    def host(self, i):
        return self.net.address(i)

    def ports(self):
        """The same for each: it is alone where it is."""
        return [[8102, 8101, 22222]] * len(self.places)

    def move(self, i, address):
        """Node i, which doesn't run, will have another address."""
        self.net.move(i, address)
        self.nodes[i].flags["dyn-listen"] = f"{address}:{self.nodes[i].peer_port}"

    def end_all(self):
        try:
            super().end_all()
        finally:
            self.net.close()
