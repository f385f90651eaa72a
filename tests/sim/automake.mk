# The simulators: nodes in virtual time, one process, one seed. SEED=n replays a run.
SIM_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/sim -I$(top_srcdir)/tests/unit
SIM_NET = tests/sim/net.c tests/sim/net.h tests/sim/random.h
check_PROGRAMS += test_sim_net
test_sim_net_SOURCES = tests/sim/test_net.c tests/unit/unit.h $(SIM_NET)
test_sim_net_CPPFLAGS = $(SIM_CPPFLAGS)
test_sim_net_LDADD = $(TEST_LIBS)

# Whole servers over a simulated system: what they call of it goes to tests/sim/data_os.c and, by the
# linker's --wrap, to tests/sim/data_disk.c and data_damage.c.
SIM_DATA_WRAPPED = open openat close mkdir rmdir unlink unlinkat rename renameat stat fstat access \
	opendir readdir closedir dirfd mmap munmap pread pwrite read write fsync fdatasync \
	posix_fallocate ftruncate fcntl flock \
	writer_start replicate_to replicate_to_own source_take delivery_go_on_from delivery_pump \
	quorum_write hint_log_sync_behind hint_store_open hint_peer_tune
check_PROGRAMS += sim_data
EXTRA_DIST += tests/sim/net.c
sim_data_SOURCES = tests/sim/sim_data.c tests/sim/data.c tests/sim/data.h tests/sim/data_world.h \
	tests/sim/data_client.c tests/sim/data_check.c tests/sim/data_damage.c tests/sim/data_os.c \
	tests/sim/data_os.h tests/sim/data_disk.c tests/sim/data_store.c tests/sim/data_store.h \
	tests/sim/data_net.c tests/sim/net.h tests/sim/random.h
sim_data_CPPFLAGS = $(SIM_CPPFLAGS)
sim_data_LDFLAGS = $(AM_LDFLAGS) $(SIM_DATA_WRAPPED:%=-Wl,--wrap=%)
sim_data_LDADD = libdynomited.a $(DYN_LIBS)
