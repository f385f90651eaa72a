"""What belongs to every run of the cluster tests: which ones are left out, and what is shown at the end."""
import rig


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: only with DYN_LONG=1 (make check-faults)")


def pytest_collection_modifyitems(config, items):
    if rig.LONG:
        return
    slow = [i for i in items if i.get_closest_marker("slow")]
    items[:] = [i for i in items if i not in slow]
    config.hook.pytest_deselected(items=slow)


def pytest_terminal_summary(terminalreporter):
    if rig.NOTES:
        terminalreporter.section("counted")
        for line in rig.NOTES:
            terminalreporter.write_line(line)
