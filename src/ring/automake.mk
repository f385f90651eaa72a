libdynomited_a_SOURCES += src/ring/hash.h src/ring/hash.c
