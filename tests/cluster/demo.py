"""`tools/dev demo`: a node dies, the others go on, it comes back and has everything. Exit status 0 only if the
counts are right."""
import sys
import time

import rig

WRITES = 3000


def main():
    store = "embedded"
    if sys.argv[1:] == ["--store", "redis"]:
        store = "redis"
    elif sys.argv[1:] not in ([], ["--store", "embedded"]):
        sys.exit("usage: demo [--store embedded|redis]")
    with rig.Cluster(3, name="demo", store=store) as c:
        one, two, three = c.nodes
        a, b = one.client(), two.client()
        a.set("before", "there")
        a.set("doomed", "there")
        print("SET before on node 1; GET on each node:", [n.client().get("before") for n in c.nodes])
        three.kill()
        print("kill -9 node 3; going on through nodes 1 and 2")
        start = time.monotonic()
        for i in range(WRITES):
            (a, b)[i % 2].set(f"key{i}", i)
            (a, b)[i % 2].incr("counter")
        a.delete("doomed")
        print(f"{2 * WRITES + 1} writes in {time.monotonic() - start:.1f} s, no error; hints pending: "
              f"node 1 {one.pending()}, node 2 {two.pending()}")
        start = time.monotonic()
        three.start()
        c.wait_delivered()
        took = time.monotonic() - start
        keys = [f"key{i}" for i in range(WRITES)]
        values = rig.own_values(c, 2, keys + ["counter", "doomed"])
        right = sum(values[k] == str(i).encode() for i, k in enumerate(keys))
        print(f"node 3 is back; hints delivered after {took:.2f} s")
        print(f"node 3 has {right} of {WRITES} keys, counter {values['counter']} of {WRITES}, "
              f"deleted key: {values['doomed']}; pending now: {one.pending() + two.pending()}")
        ok = (right == WRITES and values["counter"] == str(WRITES).encode()
              and values["doomed"] is None and took < 5)
        same = rig.copies(one, "counter")
        ok = ok and len(set(same)) == 1
    print("RIGHT" if ok else "WRONG")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
