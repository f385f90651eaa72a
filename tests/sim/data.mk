# Whole servers over a simulated system: what they call of it goes to tests/sim/data_os.c and, by the
# linker's --wrap, to tests/sim/data_disk.c and data_damage.c.
SIM_DATA_WRAPPED = open openat close mkdir rmdir unlink unlinkat rename renameat stat fstat access \
	opendir readdir closedir dirfd mmap munmap pread pwrite read write fsync fdatasync \
	posix_fallocate ftruncate fcntl flock \
	writer_start replicate_to replicate_to_own source_take delivery_go_on_from delivery_pump \
	quorum_write plan_write hedges_ask hedges_next recent_note request_serve_execute effect_tell hint_log_sync_behind hint_store_open \
	doorman_start doorman_stop hint_peer_tune seat_get seat_unref pulse_settled word_get word_unref
check_PROGRAMS += sim_data
EXTRA_DIST += tests/sim/net.c
sim_data_SOURCES = tests/sim/sim_data.c tests/sim/data.c tests/sim/data.h tests/sim/data_world.h \
	tests/sim/data_client.c tests/sim/data_told.c tests/sim/data_lack.c tests/sim/data_levels.c tests/sim/data_check.c tests/sim/data_damage.c tests/sim/data_os.c \
	tests/sim/data_os.h tests/sim/data_disk.c tests/sim/data_store.c tests/sim/data_store.h \
	tests/sim/data_commands.c tests/sim/data_commands.h \
	tests/sim/data_net.c tests/sim/net.h tests/sim/random.h
sim_data_CPPFLAGS = $(SIM_CPPFLAGS)
sim_data_LDFLAGS = $(AM_LDFLAGS) $(SIM_DATA_WRAPPED:%=-Wl,--wrap=%)
sim_data_LDADD = libdynomited.a $(DYN_LIBS)

# As long as somebody has time, from another seed each time.
SIM_SECONDS = 600
sim-data: sim_data
	SIM_DATA_SECONDS=$(SIM_SECONDS) ./sim_data 100000000 `date +%s`000
sim: sim-data
.PHONY: sim sim-data
