libdynomited_a_SOURCES += src/worker.h src/worker.c src/server.h src/server.c
sbin_PROGRAMS += dynomited
dynomited_SOURCES = src/main.c
dynomited_LDADD = libdynomited.a $(JEMALLOC_LIBS) $(DYN_LIBS)
