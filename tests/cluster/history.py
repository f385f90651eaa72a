"""What clients did and saw, for checker.py: one Op for each request, and the history around them. Nothing here talks to a server.

Keys are of three kinds, told by what stands before the first colon:
    over     overwrites only: SET of values that are never used twice, and DEL. Any node may coordinate them.
    count    INCR only. Any node may coordinate them.
    mixed    SET, APPEND, DEL and INCR by one client through one node. A write without an answer is the last of its key.

Times are seconds of one clock, that of the process whose threads the clients are."""
import dataclasses
import json
import math

ONE, QUORUM, SAFE, EACH = LEVELS = "DC_ONE", "DC_QUORUM", "DC_SAFE_QUORUM", "DC_EACH_SAFE_QUORUM"
OVER, COUNT, MIXED = "over", "count", "mixed"
READ = "GET"

OK = "ok"            # answered
REFUSED = "refused"  # an error that says that nothing was written; a read's error
UNKNOWN = "unknown"  # an error that doesn't say so, or no answer: it may have had its effect, or have it later


def kind_of(key):
    return key.split(":", 1)[0]


@dataclasses.dataclass
class Op:
    client: str
    connection: int  # of all connections of all clients
    node: int        # the coordinator
    level: str       # the read or write level that holds for it
    words: list      # command, key, value
    start: float
    end: float = math.inf
    outcome: str = UNKNOWN
    answer: object = None  # the reply (a string, a number, None: nil), or what the error says; None: the connection broke

    @property
    def command(self):
        return self.words[0]

    @property
    def key(self):
        return self.words[1]

    @property
    def value(self):
        """What an overwrite leaves there; None: nothing."""
        return self.words[2] if len(self.words) > 2 else None

    def __str__(self):
        end = f"{self.end:.3f}" if self.end < math.inf else "no answer"
        return (f"{' '.join(self.words)} by {self.client} on connection {self.connection} through node {self.node + 1} at {self.level}, "
                f"{self.start:.3f} to {end}: {self.outcome} {self.answer!r}")


def outcome_of_error(text):
    """Of a write that was answered by an error."""
    return REFUSED if "; nothing was written" in text else UNKNOWN


@dataclasses.dataclass
class History:
    datacenters: list  # of each node, its name
    sloppy: bool = False
    store: str = "embedded"
    ops: list = dataclasses.field(default_factory=list)
    ends: list = dataclasses.field(default_factory=list)  # [time, node]: its process ended
    # [from, until, node]: its own store was away, or didn't have all that the node had coordinated
    away: list = dataclasses.field(default_factory=list)
    final: dict = dataclasses.field(default_factory=dict)  # key -> what each node's own store has at the end
    differing: list = dataclasses.field(default_factory=list)  # keys whose copies differ at the end in what a value doesn't show
    repaired: bool = False  # since then, all keys whose copies differed have been read, with read repair
    # addresses of nodes that need repair in the end, though no log had a reason to lose anything
    marked: list = dataclasses.field(default_factory=list)

    def dump(self, path):
        with open(path, "w", encoding="ascii") as f:
            json.dump(dataclasses.asdict(self), f)

    @classmethod
    def load(cls, path):
        with open(path, encoding="ascii") as f:
            fields = json.load(f)
        fields["ops"] = [Op(**o) for o in fields["ops"]]
        return cls(**fields)
