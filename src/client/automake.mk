libdynomited_a_SOURCES += src/client/client.h src/client/client.c src/client/call.h \
	src/client/call.c src/client/dispatch.c src/client/session.c
