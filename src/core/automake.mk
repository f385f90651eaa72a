libdynomited_a_SOURCES += src/core/compiler.h src/core/error.h src/core/error.c \
	src/core/mem.h src/core/mem.c src/core/buf.h src/core/buf.c src/core/log.h src/core/log.c \
	src/core/clock.h src/core/clock.c
