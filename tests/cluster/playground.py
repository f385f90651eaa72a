"""`tools/dev up` and `down`: three nodes whose data lies in ./run."""
import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import rig

rig.Node.stderr = subprocess.DEVNULL  # the nodes outlive this process; their log is a file
rig.subprocess.Popen = functools.partial(subprocess.Popen, start_new_session=True)  # and its terminal
RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "run")
RUN = os.path.normpath(RUN)
STATE = os.path.join(RUN, "cluster.json")
WANTED = [[8102, 8101, 22222], [8202, 8201, 22223], [8302, 8301, 22224]]


def load():
    try:
        with open(STATE, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return None


def is_ours(pid):
    """The pid may belong to somebody else by now."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return RUN.encode() in f.read()
    except OSError:
        return False


def choose_ports():
    """The ones people expect, or free ones where they are taken."""
    import socket
    chosen = []
    for trio in WANTED:
        mine = []
        for port in trio:
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", port))
                    mine.append(port)
                except OSError:
                    mine.append(rig.free_ports(1)[0])
        chosen.append(mine)
    return chosen


def make_nodes(ports):
    nodes = []
    for i, trio in enumerate(ports):
        seeds = [f"127.0.0.1:{ports[k][1]}:rack{k + 1}:dc1:0" for k in range(3) if k != i]
        nodes.append(rig.Node(RUN, f"node{i + 1}", trio,
                              {"pool-name": "playground", "datacenter": "dc1",
                               "rack": f"rack{i + 1}", "tokens": "0", "dyn-seeds": seeds}))
    return nodes


def show(nodes):
    for n in nodes:
        print(f"{n.name}: clients 127.0.0.1:{n.client_port}   peers 127.0.0.1:{n.peer_port}   "
              f"http://127.0.0.1:{n.http_port}/metrics   log {os.path.relpath(n.log)}")
    sock = os.path.join(nodes[0].directory, "admin.sock")
    victim = nodes[2]
    print(f"""
export DYN_ADMIN_NODE={shlex.quote(sock)}

Try next:
  redis-cli -p {nodes[0].client_port} set greeting hello; redis-cli -p {victim.client_port} get greeting
  ./build/dyn-admin status
  kill -9 $(cat {shlex.quote(victim.directory + ".pid")})        # then write through the other nodes and look at
  ./build/dyn-admin hints
  ./tools/dev up                # starts what isn't running: the hints are delivered
  ./tools/dev down              # stops them, keeps their data""")


def up():
    os.makedirs(RUN, exist_ok=True)
    state = load()
    pids = state["pids"] if state else [0, 0, 0]
    alive = [bool(p) and is_ours(p) for p in pids]
    ports = state["ports"] if state and (any(alive) or can_reuse(state["ports"])) else choose_ports()
    nodes = make_nodes(ports)
    for i, n in enumerate(nodes):
        if alive[i]:
            continue
        n.flags["pid-file"] = n.directory + ".pid"
        n.start(wait=False)
        pids[i] = n.process.pid
    with open(STATE, "w", encoding="utf-8") as f:
        json.dump({"ports": ports, "pids": pids}, f)
    for n in nodes:
        rig.wait_until(lambda n=n: (not n.process or n.alive()) and n.client().ping(),
                       f"{n.name} answers")
        rig.wait_until(lambda n=n: n.states_of_peers() == ["NORMAL", "NORMAL"],
                       f"{n.name} sees its peers", 40)
    show(nodes)
    sys.stdout.flush()
    os._exit(0)  # the nodes go on without this process


def can_reuse(ports):
    import socket
    for port in sum(ports, []):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def down(wipe):
    state = load() or {"pids": []}
    mine = [p for p in state["pids"] if p and is_ours(p)]
    for pid in mine:
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 15
    while any(is_ours(p) for p in mine) and time.monotonic() < end:
        time.sleep(0.05)
    left = [p for p in mine if is_ours(p)]
    if left:
        sys.exit(f"still running after 15 s: {left}")
    print(f"stopped {len(mine)} nodes")
    if wipe:
        shutil.rmtree(RUN, ignore_errors=True)
        print("their data is removed")
    else:
        print(f"their data stays in {RUN} (./tools/dev down --wipe removes it)")


if __name__ == "__main__":
    if sys.argv[1:] == ["up"]:
        up()
    elif sys.argv[1:] in (["down"], ["down", "--wipe"]):
        down("--wipe" in sys.argv)
    else:
        sys.exit("usage: ./tools/dev up | down [--wipe]")
