libdynomited_a_SOURCES += src/ring/hash.h src/ring/hash.c
libdynomited_a_SOURCES += src/ring/topology.h src/ring/topology.c \
	src/ring/heirs.h src/ring/heirs.c src/ring/tellers.h src/ring/tellers.c
