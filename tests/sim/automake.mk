# The simulators: nodes in virtual time, one process, one seed. SEED=n replays a run.
SIM_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/sim -I$(top_srcdir)/tests/unit
SIM_NET = tests/sim/net.c tests/sim/net.h tests/sim/random.h
check_PROGRAMS += test_sim_net
test_sim_net_SOURCES = tests/sim/test_net.c tests/unit/unit.h $(SIM_NET)
test_sim_net_CPPFLAGS = $(SIM_CPPFLAGS)
test_sim_net_LDADD = $(TEST_LIBS)

SIM_GOSSIP = $(SIM_NET) tests/sim/gossip.c tests/sim/gossip.h tests/sim/tape.c tests/sim/tape.h tests/sim/gossip_bad.c tests/sim/gossip_bad.h \
	tests/sim/gossip_runs.c tests/sim/gossip_runs.h tests/sim/gossip_many.c tests/sim/gossip_many.h
check_PROGRAMS += sim_gossip
sim_gossip_SOURCES = tests/sim/sim_gossip.c $(SIM_GOSSIP)
sim_gossip_CPPFLAGS = $(SIM_CPPFLAGS)

# The tables of ARCHITECTURE.md; takes an hour.
noinst_PROGRAMS += sim_figures
sim_figures_SOURCES = tests/sim/sim_figures.c $(SIM_GOSSIP)
sim_figures_CPPFLAGS = $(SIM_CPPFLAGS)
sim: sim_figures
	./sim_figures $(SIM_TABLES)
.PHONY: sim
