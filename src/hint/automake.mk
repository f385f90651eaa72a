libdynomited_a_SOURCES += src/hint/log.h src/hint/log.c src/hint/log_internal.h src/hint/log_expire.c src/hint/log_sync.c \
	src/hint/segment.h src/hint/segment.c \
	src/hint/mark.h src/hint/mark.c src/hint/numbers.h
libdynomited_a_SOURCES += src/hint/store.h src/hint/store_internal.h src/hint/store.c src/hint/store_peer.c \
	src/hint/share.h src/hint/share.c src/hint/commit.h src/hint/commit.c
