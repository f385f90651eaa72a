libdynomited_a_SOURCES += src/client/client.h src/client/client.c src/client/call.h \
	src/client/call.c src/client/dispatch.c src/client/multi.h src/client/multi.c \
	src/client/recent.c src/client/recent.h \
	src/client/doorman.c src/client/doorman.h \
	src/client/session.c src/client/session.h src/client/session_auth.c \
	src/client/session_client.c src/client/session_roll.c src/client/session_command.c \
	src/client/session_acl.c src/client/session_cluster.c src/client/session_config.c \
	src/client/session_info.c src/client/protocol.c src/client/unread.c src/client/unread.h \
	src/client/ring.h src/client/ring_walk.c src/client/ring_write.c
libdynomited_a_SOURCES += src/client/dispatch.h src/client/memcache.h src/client/memcache.c \
	src/client/memcache_inside.c src/client/memcache_reply.c src/client/memcache_stats.c
