# The simulators: nodes in virtual time, one process, one seed. SEED=n replays a run.
SIM_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/sim -I$(top_srcdir)/tests/unit
SIM_NET = tests/sim/net.c tests/sim/net.h tests/sim/random.h
check_PROGRAMS += test_sim_net
test_sim_net_SOURCES = tests/sim/test_net.c tests/unit/unit.h $(SIM_NET)
test_sim_net_CPPFLAGS = $(SIM_CPPFLAGS)
test_sim_net_LDADD = $(TEST_LIBS)
