#!/usr/bin/python3
"""Side by side in one run: redis, twemproxy, one dynomited on each store, three nodes at two levels.

redis-benchmark -c 50, 64-byte values, 100,000 keys, SET and GET, pipelines of 1 and 16. Prints throughput, p50, p99 and
CPU microseconds per request (user + system, from /proc/PID/stat) of each process. Absolute times say little on a shared
machine: compare the rows of one run. BENCH_REQUESTS: how many requests a row (four times as many with pipelines);
BENCH_SECONDS: when a row that doesn't end is given up."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
import rig  # noqa: E402

REQUESTS = int(os.environ.get("BENCH_REQUESTS", "100000"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "120"))
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(name, port, processes):
    for pipeline in (1, 16):
        for command in ("set", "get"):
            before = {n: cpu_seconds(p) for n, p in processes.items()}
            try:
                out = subprocess.run(
                    ["redis-benchmark", "-p", str(port), "-c", "50", "-P", str(pipeline), "-d", "64",
                     "-r", "100000", "-n", str(REQUESTS * (4 if pipeline > 1 else 1)), "-t", command,
                     "--csv"], capture_output=True, text=True, timeout=SECONDS, check=True).stdout
            except subprocess.TimeoutExpired:
                print(f"{name:34} {command.upper()} P{pipeline}: no end within {SECONDS} s", flush=True)
                continue
            except subprocess.CalledProcessError as error:
                print(f"{name:34} {command.upper()} P{pipeline}: {error.stderr.strip()[-200:]}", flush=True)
                continue
            row = [v.strip('"') for v in out.splitlines()[1].split(",")]
            served = REQUESTS * (4 if pipeline > 1 else 1)
            cost = "  ".join(f"{n} {(cpu_seconds(p) - before[n]) * 1e6 / served:.1f}"
                             for n, p in processes.items())
            print(f"{name:34} {command.upper()} P{pipeline:<3} {float(row[1]):>9.0f}/s  p50 {row[4]:>7} ms "
                  f" p99 {row[6]:>7} ms   CPU us/req: {cost}", flush=True)


def main():
    os.environ["PATH"] += ":/usr/sbin"  # where nutcracker lies
    missing = [program for program in ("redis-server", "redis-benchmark", "nutcracker")
               if not shutil.which(program)]
    if missing:
        sys.exit(f"bench needs {', '.join(missing)}: ./tools/dev packages installs redis-server, redis-tools "
                 "and nutcracker")
    with tempfile.TemporaryDirectory(prefix="dynbench.") as directory:
        redis_port, proxy_port, proxy_stats = rig.free_ports(3)
        server = subprocess.Popen(["redis-server", "--port", str(redis_port), "--save", "", "--dir",
                                   directory], stdout=subprocess.DEVNULL)
        others = [server]
        try:
            rig.wait_until(rig.redis.Redis(port=redis_port).ping, "redis-server answers")
            measure("redis direct", redis_port, {"redis": server.pid})
            conf = os.path.join(directory, "nutcracker.yml")
            with open(conf, "w", encoding="ascii") as f:
                f.write(f"pool:\n  listen: 127.0.0.1:{proxy_port}\n  hash: murmur\n  redis: true\n"
                        f"  servers:\n   - 127.0.0.1:{redis_port}:1\n")
            proxy = subprocess.Popen(["nutcracker", "-c", conf, "-s", str(proxy_stats)],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            others.append(proxy)
            rig.wait_until(lambda: rig.redis.Redis(port=proxy_port).get("x") is None or True,
                           "nutcracker answers")
            measure("twemproxy, redis behind", proxy_port, {"twemproxy": proxy.pid, "redis": server.pid})
            with rig.Cluster(1, flags={"data-store": "redis",
                                       "servers": f"127.0.0.1:{redis_port}:1"}) as c:
                n = c.nodes[0]
                measure("dynomited, redis behind", n.client_port,
                        {"dynomited": n.process.pid, "redis": server.pid})
            for sync in ("always", "interval"):
                with rig.Cluster(1, flags={"store-sync": sync}) as c:
                    n = c.nodes[0]
                    measure(f"dynomited, embedded, {sync}", n.client_port,
                            {"dynomited": n.process.pid})
            for level in ("DC_ONE", "DC_QUORUM"):
                with rig.Cluster(3, flags={"write-consistency": level, "read-consistency": level,
                                           "store-sync": "interval"}) as c:
                    measure(f"three nodes, embedded, {level}", c.nodes[0].client_port,
                            {n.name: n.process.pid for n in c.nodes})
        finally:
            for p in others:
                p.kill()
                p.wait()


if __name__ == "__main__":
    main()
