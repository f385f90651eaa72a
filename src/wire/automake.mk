libdynomited_a_SOURCES += src/wire/resp.h src/wire/command.h src/wire/frame.h
libdynomited_a_SOURCES += src/wire/crc32c.h src/wire/crc32c.c src/wire/frame.c
libdynomited_a_SOURCES += src/wire/pack.h src/wire/pack.c
libdynomited_a_SOURCES += src/wire/resp.c
libdynomited_a_SOURCES += src/wire/command_about.h src/wire/command_about.c \
	src/wire/command_syntax.h src/wire/command_syntax.c
libdynomited_a_SOURCES += src/wire/command.c src/wire/command_keys.c src/wire/command_table.c \
	src/wire/command_table.h \
	src/wire/normalize.c
libdynomited_a_SOURCES += src/wire/reply.h src/wire/reply.c
libdynomited_a_SOURCES += src/wire/transaction.h src/wire/transaction.c
libdynomited_a_SOURCES += src/wire/base64.h src/wire/base64.c src/wire/memcache.h src/wire/memcache.c \
	src/wire/memcache_line.c
libdynomited_a_SOURCES += src/wire/resp3.h src/wire/resp3.c
libdynomited_a_SOURCES += src/wire/memcache_command.h src/wire/memcache_command.c
