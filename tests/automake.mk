# Check suites: one program per core, named test_<core>.
TEST_LIBS = libdynomited.a $(CHECK_LIBS) $(DYN_LIBS)
AM_TESTS_ENVIRONMENT = CK_FORK=$${CK_FORK-yes}; export CK_FORK; \
	TEST_VECTORS='$(abs_top_srcdir)/tests/vectors'; export TEST_VECTORS;
include tests/unit/automake.mk
include tests/fuzz/automake.mk
EXTRA_DIST += tests/tsan.supp tests/cluster/rig.py tests/cluster/demo.py tests/cluster/playground.py \
	tests/cluster/test_basic.py tests/cluster/test_three_nodes.py tests/cluster/test_kill.py tests/cluster/test_redis.py \
	tests/cluster/test_redis_fence.py tests/cluster/redis_proxy.py tests/cluster/test_promises.py \
	tests/bench/bench.py

# Not tests: a table of throughput, latency and CPU per request, side by side in one run.
bench: dynomited dyn-admin
	DYN_BUILD='$(abs_top_builddir)' /usr/bin/python3 $(srcdir)/tests/bench/bench.py

# What takes too long for every change: each cluster test three times over, then the release archive.
check-faults: dynomited dyn-admin
	for i in 1 2 3; do DYN_BUILD='$(abs_top_builddir)' /usr/bin/python3 -m pytest -q \
		-p no:cacheprovider $(srcdir)/tests/cluster || exit 1; done
	$(MAKE) distcheck
.PHONY: bench check-faults
