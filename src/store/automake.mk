libdynomited_a_SOURCES += src/store/store.h src/store/internal.h src/store/store.c
