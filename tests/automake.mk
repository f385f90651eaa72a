# Check suites: one program per core, named test_<core>.
TEST_LIBS = libdynomited.a $(CHECK_LIBS) $(DYN_LIBS)
AM_TESTS_ENVIRONMENT = CK_FORK=$${CK_FORK-yes}; export CK_FORK; \
	TEST_VECTORS='$(abs_top_srcdir)/tests/vectors'; export TEST_VECTORS;
include tests/unit/automake.mk
include tests/fuzz/automake.mk
EXTRA_DIST += tests/tsan.supp tests/cluster/rig.py tests/cluster/demo.py tests/cluster/playground.py \
	tests/cluster/conftest.py tests/cluster/linkpeer.py tests/cluster/known_bugs.py tests/cluster/test_bad_input.py \
	tests/cluster/test_faults.py tests/cluster/test_racks.py tests/cluster/test_clock.py \
	tests/cluster/test_basic.py tests/cluster/test_three_nodes.py tests/cluster/test_kill.py tests/cluster/test_promises.py \
	tests/cluster/test_redis.py tests/cluster/test_redis_fence.py tests/cluster/redis_proxy.py \
	tests/cluster/test_client.py tests/cluster/wire.py \
	tests/cluster/test_admin.py tests/cluster/test_config.py tests/cluster/test_build.py tests/cluster/test_corners.py \
	tests/cluster/test_idle.py \
	tests/bench/bench.py

# Not tests: a table of throughput, latency and CPU per request, side by side in one run.
bench: dynomited dyn-admin
	DYN_BUILD='$(abs_top_builddir)' /usr/bin/python3 $(srcdir)/tests/bench/bench.py

# What takes too long for every change; see the script.
FAULT_ROUNDS = 2
check-faults: dynomited dyn-admin dyn-hash-tool
	DYN_BUILD='$(abs_top_builddir)' MAKE='$(MAKE)' \
		$(SHELL) $(srcdir)/tests/cluster/faults.sh '$(abs_top_srcdir)' $(FAULT_ROUNDS)
	$(MAKE) distcheck
EXTRA_DIST += tests/cluster/faults.sh
.PHONY: bench check-faults
