libdynomited_a_SOURCES += src/hint/log.h src/hint/log.c src/hint/segment.h src/hint/segment.c \
	src/hint/mark.h src/hint/mark.c src/hint/numbers.h
