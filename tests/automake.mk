# Check suites: one program per core, named test_<core>.
TEST_LIBS = libdynomited.a $(CHECK_LIBS) $(DYN_LIBS)
AM_TESTS_ENVIRONMENT = CK_FORK=$${CK_FORK-yes}; export CK_FORK; \
	TEST_VECTORS='$(abs_top_srcdir)/tests/vectors'; export TEST_VECTORS;
# what takes longest starts first
include tests/sim/automake.mk
include tests/sim/data.mk
include tests/unit/automake.mk
include tests/fuzz/automake.mk
# Applications of client libraries: tests/cluster/test_clients.py.
EXTRA_DIST += tests/clients/hiredis.c tests/clients/node-redis.js tests/clients/ioredis.js tests/clients/reconnects.js \
	tests/clients/node18/package.json tests/clients/node18/package-lock.json tests/clients/node18/.npmrc \
	tests/clients/node20/package.json tests/clients/node20/package-lock.json tests/clients/node20/.npmrc
EXTRA_DIST += tests/tsan.supp tests/cluster/rig.py tests/cluster/demo.py tests/cluster/playground.py \
	tests/cluster/conftest.py tests/cluster/linkpeer.py tests/cluster/known_bugs.py tests/cluster/test_bad_input.py \
	tests/cluster/test_faults.py tests/cluster/test_gossip.py tests/cluster/test_racks.py tests/cluster/test_levels.py tests/cluster/test_near.py tests/cluster/test_clock.py tests/cluster/test_ring.py \
	tests/cluster/test_repair.py tests/cluster/test_memcached.py tests/cluster/test_effects.py tests/cluster/test_commands.py tests/cluster/test_basic.py tests/cluster/test_three_nodes.py tests/cluster/test_kill.py tests/cluster/test_promises.py tests/cluster/test_transactions.py \
	tests/cluster/memcache_commands.py tests/cluster/test_redis.py tests/cluster/test_redis_fence.py tests/cluster/test_own_store.py tests/cluster/redis_proxy.py tests/cluster/test_memcache.py \
	tests/cluster/test_alone.py tests/cluster/test_client.py tests/cluster/test_limits.py tests/cluster/test_clients.py tests/cluster/test_session.py tests/cluster/test_errors.py tests/cluster/test_oracle.py tests/cluster/commands.py tests/cluster/wire.py \
	tests/cluster/test_admin.py tests/cluster/test_hints_admin.py tests/cluster/test_config.py tests/cluster/test_build.py tests/cluster/test_corners.py \
	tests/cluster/test_idle.py tests/cluster/test_seeds.py tests/cluster/test_state.py tests/cluster/name_server.py tests/cluster/test_orphans.py tests/cluster/test_replace.py tests/cluster/test_newest.py \
	tests/cluster/netns.py tests/cluster/netns_delay.py tests/cluster/test_netns.py tests/cluster/test_links.py \
	tests/cluster/history.py tests/cluster/checker.py tests/cluster/test_checker.py tests/cluster/nemesis.py tests/cluster/storm.py tests/cluster/test_history.py \
	tests/cluster/shim_io.c tests/cluster/test_io_errors.py tests/cluster/test_survive.py tests/cluster/test_clock_faults.py \
	tests/bench/bench.py tests/bench/document.py tests/bench/picture.py tests/bench/report.py tests/bench/rows.py \
	tests/bench/sections.py tests/bench/selftest.py tests/bench/systems.py tests/bench/targets.py \
	docs/faults.md docs/consistency.md docs/gossip.md docs/hints.md docs/memcached.md docs/errors.md docs/read-repair.md docs/benchmarks.md docs/benchmarks/1-front.svg docs/benchmarks/2-embedded.svg docs/benchmarks/3-durable.svg docs/transactions.md \
	docs/benchmarks/4-three.svg docs/benchmarks/5-latency.svg docs/benchmarks/6-memory.svg docs/benchmarks/7-shapes.svg \
	docs/benchmarks/8-down.svg docs/benchmarks/9-peers.svg

# dynomited with the C library's malloc, for libfaketime: tests/cluster/test_clock.py.
noinst_PROGRAMS += dynomited_glibc
dynomited_glibc_SOURCES = src/main.c

# dynomited, broken on purpose, for tests/cluster/test_history.py.
DAMAGE_WRAPPED = embedded_find stamps_judge replicate_to replicate_nudge request_view_writes request_mail_verdicts \
	source_take delivery_go_on_from
noinst_PROGRAMS += dynomited_damaged
dynomited_damaged_SOURCES = src/main.c tests/cluster/damage.c tests/cluster/damage_embedded.c tests/cluster/damage.h
dynomited_damaged_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/cluster
dynomited_damaged_LDFLAGS = $(AM_LDFLAGS) $(DAMAGE_WRAPPED:%=-Wl,--wrap=%)
dynomited_damaged_LDADD = libdynomited.a $(DYN_LIBS)

# Not tests: throughput, latency, memory and CPU per request, side by side in one run; see the script. bench-check fails
# where a target isn't met.
noinst_PROGRAMS += bench_load
bench_load_SOURCES = tests/bench/load.c
bench_load_LDADD =
TESTS += tests/bench/selftest.py
BENCH = DYN_BUILD='$(abs_top_builddir)' /usr/bin/python3 $(srcdir)/tests/bench/bench.py
bench: dynomited dyn-admin bench_load
	$(BENCH)
bench-check: dynomited dyn-admin bench_load
	$(BENCH) --check

# The hint store beside a straightforward one.
noinst_PROGRAMS += bench_hints
bench_hints_SOURCES = tests/bench/hints.c
bench_hints_LDADD = libdynomited.a $(DYN_LIBS)
bench-hints: bench_hints
	./bench_hints $(BENCH_DIR)

# What takes too long for every change; see the script.
FAULT_ROUNDS = 2
check-faults: dynomited dynomited_glibc dynomited_damaged dyn-admin dyn-hash-tool sim_gossip sim_data
	SIM_NEW=1 ./sim_gossip
	GOSSIP=1 SIM_DATA_SECONDS=120 ./sim_data 100000000 `date +%s`000
	SIM_DATA_SECONDS=60 ./sim_data 100000000 `date +%s`000
	DYN_BUILD='$(abs_top_builddir)' MAKE='$(MAKE)' \
		$(SHELL) $(srcdir)/tests/cluster/faults.sh '$(abs_top_srcdir)' $(FAULT_ROUNDS)
	$(MAKE) distcheck
EXTRA_DIST += tests/cluster/faults.sh
.PHONY: bench bench-check bench-hints check-faults

# A disk that fails: tests/cluster/test_io_errors.py.
shim_io.so: tests/cluster/shim_io.c
	$(AM_V_CC)$(CC) -std=gnu11 -O1 -fPIC -Wall -Wextra -shared -o $@ $(srcdir)/tests/cluster/shim_io.c -ldl
noinst_DATA = shim_io.so
CLEANFILES += shim_io.so
