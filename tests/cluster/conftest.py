"""What pytest shows at the end of a run of the cluster tests."""
import rig


def pytest_terminal_summary(terminalreporter):
    if rig.NOTES:
        terminalreporter.section("counted")
        for line in rig.NOTES:
            terminalreporter.write_line(line)
