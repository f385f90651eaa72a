"""What a node costs while nothing is asked of it, and what is left of a burst when it is over."""
import os
import socket
import time

import rig

SECONDS = 5
PEERS = 100 if rig.LONG else 20
RACK_TOKENS = 2147483648


def cpu_seconds(node):
    """Of all its threads, to the nanosecond: an idle node uses less than the ticks of /proc/PID/stat."""
    total = 0
    for task in os.listdir(f"/proc/{node.process.pid}/task"):
        with open(f"/proc/{node.process.pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def share_of_a_core(node):
    before, start = cpu_seconds(node), time.monotonic()
    time.sleep(SECONDS)  # what is measured is this time
    return (cpu_seconds(node) - before) / (time.monotonic() - start)


def place(i):
    """At most 64 racks: two nodes in each, the hub alone in its own."""
    return ("dc1", "hub", "0") if i == 0 else ("dc1", f"rack{(i + 1) // 2}", str((i % 2) * RACK_TOKENS))


def test_idle_peers_cost_next_to_nothing(tmp_path):
    """A hub knows all, each of them only the hub: a link in either direction for each peer."""
    defaults = {"gos-interval": "1000"}
    with rig.Cluster(1, flags=defaults) as alone:
        cpu, memory = share_of_a_core(alone.nodes[0]), alone.nodes[0].memory()
    cluster = rig.Cluster(directory=str(tmp_path), flags=defaults, places=[place(i) for i in range(PEERS + 1)])
    hub, rest = cluster.nodes[0], cluster.nodes[1:]
    for node in rest:
        node.flags["dyn-seeds"] = [f"127.0.0.1:{hub.peer_port}:hub:dc1:0"]
    try:
        for node in cluster.nodes:
            node.start(wait=False)
        rig.wait_until(lambda: hub.states_of_peers().count("NORMAL") == PEERS, "the hub sees them all", 60)
        cpu, memory = share_of_a_core(hub) - cpu, hub.memory() - memory
        rig.note(f"{PEERS} idle peers: {cpu / PEERS * 100:.4f} % of a core and {memory // PEERS // 1024} KB each")
        assert cpu / PEERS < 0.001
        assert memory / PEERS < 200 * 1024
        for node in cluster.nodes:
            node.stop()
    finally:
        cluster.end_all()


def test_memory_of_a_burst_goes_back():
    """Hundreds of clients with long pipelines, and then none."""
    command = b"*3\r\n$3\r\nSET\r\n$6\r\nk%05d\r\n$1000\r\n" + b"v" * 1000 + b"\r\n"
    with rig.Cluster(3, flags={"write-consistency": "DC_QUORUM"}) as c:
        node = c.nodes[0]
        before = node.memory()
        clients = [socket.create_connection(("127.0.0.1", node.client_port), timeout=30) for _ in range(300)]
        for _ in range(5):
            for i, s in enumerate(clients):
                s.sendall(command % i * 16)
            for s in clients:
                answer = b""
                while len(answer) < 16 * 5:
                    answer += s.recv(4096)
                assert answer == b"+OK\r\n" * 16
        high = node.memory()
        for s in clients:
            s.close()
        rig.wait_until(lambda: all(n.memory() < before + 6 * 1024 * 1024 for n in c.nodes),
                       "what the burst took is given back", 15)
        rig.note(f"RssAnon {before // 1024} KB, with 300 clients {high // 1024}, then {node.memory() // 1024}")
