libdynomited_a_SOURCES += src/request/stats.h src/request/plan.h src/request/plan.c \
	src/request/quorum.h src/request/quorum.c
