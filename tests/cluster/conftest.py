"""What belongs to every run of the cluster tests: which ones are left out, and what is shown at the end."""
import fcntl
import os
import subprocess

import pytest
import rig


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: only with DYN_LONG=1 (make check-faults)")
    config.addinivalue_line("markers", "by_itself: no other test runs meanwhile, since a deadline is short")
    if config.pluginmanager.hasplugin("xdist") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector())


def pytest_collection_modifyitems(config, items):
    if rig.LONG:
        return
    slow = [i for i in items if i.get_closest_marker("slow")]
    items[:] = [i for i in items if i not in slow]
    config.hook.pytest_deselected(items=slow)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Tests run side by side (pytest -n), but one that is marked by_itself. Whoever waits stands in line at the gate, so
    that others don't overtake."""
    with open(__file__, "rb") as room, open(rig.__file__, "rb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if item.get_closest_marker("by_itself") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def pytest_sessionfinish(session):
    """A process that runs tests for another one hands over what it has counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["notes"] = rig.NOTES


class Collector:
    """Of the process for which others run the tests."""

    def pytest_testnodedown(self, node):
        rig.NOTES.extend(getattr(node, "workeroutput", {}).get("notes", []))


def pytest_terminal_summary(terminalreporter):
    if rig.NOTES:
        terminalreporter.section("counted")
        for line in rig.NOTES:
            terminalreporter.write_line(line)


@pytest.fixture
def preloads():
    """For tests that put a library before the program's: a sanitizer's runtime must come before any other."""
    libraries = subprocess.run(["ldd", os.path.join(rig.BUILD, "dynomited")], capture_output=True, text=True, check=True).stdout
    if "libasan" in libraries or "libtsan" in libraries:
        pytest.skip("a sanitizer's runtime must come before any other library")
