"""checker.py on histories made by hand: good ones pass, and each kind of bad one is found."""
import math

import checker
import pytest
from checker import LEAD
from history import EACH, LEVELS, OK, ONE, QUORUM, READ, REFUSED, SAFE, UNKNOWN, History, Op, outcome_of_error

LEFT_SOME = "NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM write); it took effect on some"


class Hand:
    """A history of six nodes, 0 to 2 in dc1, 3 to 5 in dc2. Each op takes the next tenth of a second unless told otherwise."""

    def __init__(self, level=SAFE, sloppy=False):
        self.history = History(["dc1"] * 3 + ["dc2"] * 3, sloppy)
        self.level, self.now = level, 100.0

    def op(self, words, outcome=OK, answer=None, at=None, lasts=0.1, client="c", connection=None, node=0, level=None):
        start = self.now if at is None else at
        end = start + lasts
        self.now = max(self.now, end if lasts < math.inf else start) + 0.1
        self.history.ops.append(Op(client, node + 1 if connection is None else connection, node, level or self.level, words.split(),
                                   start, end, outcome, answer))
        return self

    def write(self, words, **how):
        return self.op(words, **how)

    def read(self, key, answer, **how):
        return self.op(f"{READ} {key}", answer=answer, **how)

    def lost(self, words, **how):
        """Its connection broke."""
        return self.op(words, outcome=UNKNOWN, lasts=math.inf, **how)

    def kill(self, node):
        self.history.ends.append([self.now, node])
        self.now += 0.1
        return self

    def away(self, since, until, node):
        self.history.away.append([since, until, node])
        return self

    def wait(self, seconds):
        self.now += seconds
        return self

    def final(self, **values):
        """Of each key what all nodes have, or a list."""
        for key, value in values.items():
            self.history.final[key.replace("_", ":")] = value if isinstance(value, list) else [value] * 6
        return self

    def is_good(self):
        assert not checker.check(self.history), [str(w) for w in checker.check(self.history)]

    def is_bad(self, *what):
        assert [w.what for w in checker.check(self.history)] == list(what), [str(w) for w in checker.check(self.history)]


# ---- overwrites: what was never written ------------------------------------------------------------------------------


def test_checker_what_was_written_may_be_read():
    Hand().read("over:k", None).write("SET over:k a").read("over:k", "a").write("DEL over:k").read("over:k", None).final(over_k=None).is_good()


def test_checker_a_value_that_nobody_wrote():
    Hand(ONE).write("SET over:k a").read("over:k", "b").is_bad("phantom")
    Hand(ONE).write("SET over:k a").final(over_k="b").is_bad(*["phantom"] * 6)


def test_checker_a_value_of_another_key():
    Hand(ONE).write("SET over:k a").write("SET over:m b").read("over:k", "b").is_bad("phantom")


def test_checker_a_value_from_the_future():
    Hand(ONE).read("over:k", "a", at=100).write("SET over:k a", at=101).is_bad("phantom")
    Hand(ONE).read("over:k", "a", at=100, lasts=2).write("SET over:k a", at=101).is_good()


def test_checker_a_refused_write_has_no_effect():
    refused = Hand(ONE).write("SET over:k a", outcome=REFUSED)
    refused.read("over:k", None).is_good()
    refused.read("over:k", "a").is_bad("phantom")


def test_checker_a_write_without_an_answer_may_be_there_or_not():
    for value in ("a", "b", None):
        Hand(ONE).lost("SET over:k a").lost("SET over:k b").read("over:k", value).final(over_k=value).is_good()


# ---- overwrites: what must be seen ------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", LEVELS)
@pytest.mark.parametrize("read", LEVELS)
@pytest.mark.parametrize("reader", [1, 3])
def test_checker_majorities_meet(write, read, reader):
    """Another connection's write, by a node of dc1."""
    h = Hand().write("SET over:k a", level=write).write("SET over:k b", level=write).read("over:k", "a", level=read, node=reader)
    if ONE in (write, read) or (reader == 3 and EACH not in (write, read)):
        h.is_good()
    else:
        h.is_bad("stale")


def test_checker_hints_that_count_are_no_copies():
    h = Hand(QUORUM, sloppy=True).write("SET over:k a").write("SET over:k b").read("over:k", "a", node=1)
    h.is_good()
    Hand(SAFE, sloppy=True).write("SET over:k a").write("SET over:k b").read("over:k", "a", node=1).is_bad("stale")


def test_checker_a_deleted_key_is_back():
    Hand().write("SET over:k a").write("DEL over:k").read("over:k", "a", node=1).is_bad("stale")


def test_checker_a_key_that_isnt_there():
    Hand().write("SET over:k a").read("over:k", None, node=1).is_bad("stale")


def test_checker_at_the_same_time_either_may_win():
    for value in "ab":
        Hand().write("SET over:k a", at=100, lasts=1).write("SET over:k b", at=100.5, node=1).read("over:k", value, node=2).is_good()


def test_checker_clocks_decide_between_two_coordinators():
    """The first one is answered, and within what clocks may differ the second one begins."""
    h = Hand().write("SET over:k a", at=100, lasts=0.1).write("SET over:k b", at=100.1 + checker.CLOCKS / 2, node=1)
    h.read("over:k", "a", node=2).is_good()
    h = Hand().write("SET over:k a", at=100, lasts=0.1).write("SET over:k b", at=100.1 + 2 * checker.CLOCKS, node=1)
    h.read("over:k", "a", node=2).is_bad("stale")


def test_checker_after_a_kill_stamps_lie_ahead():
    h = Hand().kill(0).write("SET over:k a").write("SET over:k b", node=1)
    h.read("over:k", "a", node=2).is_good()
    h = Hand().kill(0).wait(LEAD).write("SET over:k a").write("SET over:k b", node=1)
    h.read("over:k", "a", node=2).is_bad("stale")


def test_checker_one_coordinators_order_needs_no_clock():
    Hand().kill(0).write("SET over:k a").write("SET over:k b").read("over:k", "a", node=2).is_bad("stale")
    Hand().write("SET over:k a").kill(0).write("SET over:k b").read("over:k", "a", node=2).is_bad("stale")


def test_checker_a_write_without_an_answer_may_come_later():
    Hand().lost("SET over:k a").write("SET over:k b", node=1).read("over:k", "a", node=2).final(over_k="a").is_good()


def test_checker_but_not_after_its_coordinator_has_ended():
    h = Hand().lost("SET over:k a").kill(0).wait(LEAD).write("SET over:k b", node=1)
    h.read("over:k", "a", node=2).is_bad("stale")


def test_checker_and_not_after_somebody_has_read_it():
    h = Hand().lost("SET over:k a").read("over:k", "a", node=1).write("SET over:k b", node=1)
    h.read("over:k", "a", node=2).is_bad("stale")


def test_checker_and_not_after_its_coordinator_had_taken_it():
    h = Hand().write("SET over:k a", outcome=UNKNOWN, answer=LEFT_SOME).write("SET over:k b", node=1)
    h.read("over:k", "a", node=2).is_bad("stale")


def test_checker_what_a_safe_read_has_returned_isnt_lost():
    h = Hand().write("SET over:k a").lost("SET over:k b").read("over:k", "b", node=1)
    h.read("over:k", "a", node=2).is_bad("stale")
    h = Hand().write("SET over:k a").lost("SET over:k b").read("over:k", "b", node=1, level=QUORUM)
    h.read("over:k", "a", node=2).is_good()


# ---- overwrites: one's own ---------------------------------------------------------------------------------------------


def test_checker_a_connection_reads_its_own_writes():
    h = Hand(ONE).write("SET over:k a").write("SET over:k b")
    h.read("over:k", "b").is_good()
    h.read("over:k", "a").is_bad("own")
    Hand(ONE).write("SET over:k a").read("over:k", None).is_bad("own")


def test_checker_another_connection_doesnt_have_to():
    Hand(ONE).write("SET over:k a").read("over:k", None, connection=77).is_good()


def test_checker_nor_one_whose_store_was_away():
    h = Hand(ONE).away(100, 100.15, 0).write("SET over:k a")
    h.read("over:k", None).is_good()
    Hand(ONE).away(90, 95, 0).away(100, 200, 1).write("SET over:k a").read("over:k", None).is_bad("own")


# ---- overwrites: the end ---------------------------------------------------------------------------------------------


def test_checker_an_acknowledged_write_is_lost():
    Hand(ONE).write("SET over:k a").final(over_k=["a"] * 5 + [None]).is_bad("lost", "unequal")
    Hand(ONE).write("SET over:k a").write("SET over:k b").final(over_k="a").is_bad(*["lost"] * 6)


def test_checker_stores_are_unequal():
    h = Hand(ONE).write("SET over:k a", at=100).write("SET over:k b", at=100, node=1)
    h.final(over_k="a").is_good()
    h.final(over_k=["a", "b"] * 3).is_bad("unequal")


def test_checker_copies_differ_in_what_a_value_doesnt_show():
    h = Hand(ONE).write("SET over:k a").final(over_k="a")
    h.history.differing = ["over:k"]
    h.is_bad("unequal")


def test_checker_a_coordinator_that_was_killed_leaves_unequal_stores():
    """Read repair is due, unless something newer was written everywhere."""
    h = Hand(ONE).lost("SET over:k a").kill(0).final(over_k=["a"] + [None] * 5)
    h.is_good()
    h.history.repaired = True  # but for a new key
    h.is_good()
    h.final(over_k=["a"] * 4 + [None] * 2).is_bad("unequal")
    h.history.repaired = False
    h.wait(LEAD).write("SET over:k b", node=1).final(over_k=["b"] * 5 + ["a"]).is_bad("lost", "unequal")
    Hand(ONE).lost("SET over:k a").final(over_k=["a"] + [None] * 5).is_bad("unequal")


# ---- counters ---------------------------------------------------------------------------------------------------------


def test_checker_counters():
    h = Hand(ONE).write("INCR count:k", answer=1).lost("INCR count:k").write("INCR count:k", answer=2)
    h.read("count:k", "2", node=1)
    h.final(count_k="2").is_good()
    h.final(count_k="3").is_good()
    h.final(count_k="1").is_bad(*["lost"] * 6)
    h.final(count_k="4").is_bad(*["count"] * 6)
    h.final(count_k=["2", "3"] * 3).is_bad("unequal")
    h.final(count_k=["2"] * 5 + ["x"]).is_bad("count", "unequal")


def test_checker_a_counter_that_nobody_has():
    Hand(ONE).write("INCR count:k", answer=1).final(count_k=[None] + ["1"] * 5).is_bad("lost", "unequal")
    Hand(ONE).write("INCR count:k", outcome=REFUSED).final(count_k=None).is_good()
    Hand(ONE).write("INCR count:k", outcome=REFUSED).final(count_k="1").is_bad(*["count"] * 6)


def test_checker_counters_of_a_killed_coordinator_may_differ():
    Hand(ONE).write("INCR count:k", answer=1).lost("INCR count:k").kill(0).final(count_k=["2"] + ["1"] * 5).is_good()


def test_checker_a_counter_is_read_too_high():
    Hand(ONE).write("INCR count:k", answer=1).read("count:k", "2", node=1).is_bad("count")
    Hand(ONE).write("INCR count:k", answer=2).is_bad("count")
    Hand(ONE).read("count:k", "x").write("INCR count:k", answer=1).is_bad("phantom")


def test_checker_a_connection_reads_its_own_increments():
    h = Hand(ONE).write("INCR count:k", answer=1).write("INCR count:k", answer=2)
    h.read("count:k", "1").is_bad("own")
    Hand(ONE).write("INCR count:k", answer=1).write("INCR count:k", answer=1).is_bad("own")
    Hand(ONE).write("INCR count:k", answer=1).read("count:k", None, connection=9).is_good()


# ---- mixed ------------------------------------------------------------------------------------------------------------


def mixed(level=SAFE):
    return Hand(level).write("SET mixed:k 5").write("APPEND mixed:k 1").write("INCR mixed:k").write("DEL mixed:k").write("INCR mixed:k", answer=1)


def test_checker_mixed_keys():
    mixed().read("mixed:k", "1", node=1).write("APPEND mixed:k 7").read("mixed:k", "17", node=2).final(mixed_k="17").is_good()


def test_checker_a_mixed_key_is_read_too_early():
    mixed().read("mixed:k", None, node=1).is_bad("stale")
    mixed(ONE).read("mixed:k", None, node=1).is_good()
    mixed(ONE).read("mixed:k", "52").is_bad("own")
    mixed(ONE).away(50, 101, 0).read("mixed:k", "52").is_good()


def test_checker_only_safe_reads_have_to_be_late_enough_for_changes():
    mixed(QUORUM).read("mixed:k", "51", node=1).is_good()
    mixed(QUORUM).read("mixed:k", "51").is_bad("own")


def test_checker_datacenters_that_disagree_about_a_change():
    h = mixed(SAFE).read("mixed:k", None, node=3, level=EACH)
    h.is_bad("stale")
    h.history.store = "redis"
    h.is_good()
    h = mixed(EACH).read("mixed:k", None, node=3, level=EACH)
    h.history.store = "redis"
    h.is_bad("stale")


def test_checker_a_mixed_value_that_never_was():
    mixed(ONE).read("mixed:k", "53", node=1).is_bad("phantom")
    mixed(ONE).read("mixed:k", "52", at=100, node=1).is_bad("phantom")


def test_checker_a_mixed_key_in_the_end():
    mixed(ONE).final(mixed_k=["1"] * 5 + ["52"]).is_bad("lost", "unequal")
    mixed(ONE).final(mixed_k="2").is_bad(*["phantom"] * 6)
    for value in ("1", "17"):
        mixed(ONE).lost("APPEND mixed:k 7").final(mixed_k=value).is_good()
    mixed(ONE).lost("APPEND mixed:k 7").final(mixed_k=["1", "17"] * 3).is_bad("unequal")
    mixed(ONE).lost("APPEND mixed:k 7").kill(0).final(mixed_k=["1", "17"] * 3).is_good()
    mixed(ONE).lost("APPEND mixed:k 7").final(mixed_k="177").is_bad(*["phantom"] * 6)


def test_checker_a_history_whose_mixed_keys_arent_such():
    mixed().lost("INCR mixed:k").write("INCR mixed:k").is_bad("order")
    mixed().write("INCR mixed:k", node=1).is_bad("order")
    mixed().write("INCR mixed:k", client="d").is_bad("order")
    mixed().write("INCR mixed:k", at=100).is_bad("order")


def test_checker_a_node_needs_repair():
    h = Hand(ONE).write("SET over:k a").final(over_k="a")
    h.history.marked = ["10.77.0.1:8101"]
    h.is_bad("lost")


# ---- the rest ---------------------------------------------------------------------------------------------------------


def test_checker_which_errors_say_that_nothing_was_written():
    assert outcome_of_error("-NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM write); nothing was written") == REFUSED
    where = "; in dc1: r1 answered, r2 r3 didn't"
    assert outcome_of_error("-NOQUORUM 1 of 2 needed replicas answered (DC_SAFE_QUORUM write); nothing was written" + where) == REFUSED
    assert outcome_of_error("-" + LEFT_SOME + where) == UNKNOWN
    assert outcome_of_error("-" + LEFT_SOME) == UNKNOWN
    assert outcome_of_error("-TIMEOUT no answer within 2000 ms; the write may still take effect") == UNKNOWN


def test_checker_a_history_is_kept_as_it_is(tmp_path):
    h = mixed().lost("INCR mixed:k").kill(0).away(1, 2, 3).final(mixed_k="1").history
    h.dump(tmp_path / "h.json")
    assert History.load(tmp_path / "h.json") == h


def test_checker_many_writes_are_checked_in_a_moment():
    """The newest of what has ended decides, whatever there was before."""
    h = Hand()
    for i in range(3000):
        h.write(f"SET over:k v{i}", node=i % 3).read("over:k", f"v{i}", node=(i + 1) % 3)
    h.is_good()
    h.read("over:k", "v2990", node=5, level=EACH).is_bad("stale")
