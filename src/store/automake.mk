libdynomited_a_SOURCES += src/store/store.h src/store/internal.h src/store/store.c \
	src/store/record.h src/store/record.c src/store/glob.h src/store/glob.c \
	src/store/strings.h src/store/strings.c src/store/string_commands.h \
	src/store/string_values.c src/store/string_numbers.c src/store/string_lifetimes.c \
	src/store/embedded.h src/store/embedded.c src/store/embedded_table.c \
	src/store/embedded_batch.c src/store/embedded_log.c src/store/embedded_checkpoint.c \
	src/store/embedded_room.c src/store/embedded_replay.c src/store/embedded_sweep.c src/store/embedded_flush.c \
	src/store/embedded_read.c src/store/embedded_scan.c \
	src/store/wal.h src/store/wal.c src/store/memtable.h src/store/memtable.c
libdynomited_a_SOURCES += src/store/redis.h src/store/redis.c src/store/redis_greet.c \
	src/store/redis_tx.c src/store/redis_record.c \
	src/store/redis_watch.c src/store/redis_flush.c src/store/redis_script.h src/store/redis_script.c \
	src/store/redis_read.c src/store/redis_copy.c src/store/touched.h src/store/touched.c src/store/redis_protocol.c \
	src/store/redis_info.h src/store/redis_info.c \
	src/store/redis_numbers.h src/store/redis_numbers.c src/store/redis_reply.h \
	src/store/redis_reply.c src/store/stamps.h src/store/stamps.c
libdynomited_a_SOURCES += src/store/backend_conn.h src/store/backend_conn.c src/store/backend_probe.c \
	src/store/backend.h src/store/backend.c src/store/backend_side.h src/store/backend_side.c
libdynomited_a_SOURCES += src/store/memcached.h src/store/memcached.c src/store/memcached_greet.c \
	src/store/memcached_batch.c \
	src/store/memcached_read.c src/store/memcached_copy.c \
	src/store/memcached_wire.h src/store/memcached_wire.c \
	src/store/memcached_numbers.h src/store/memcached_numbers.c
