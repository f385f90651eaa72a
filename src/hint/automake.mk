libdynomited_a_SOURCES += src/hint/log.h
