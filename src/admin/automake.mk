libdynomited_a_SOURCES += src/admin/admin.h src/admin/admin.c src/admin/view.h src/admin/view.c \
	src/admin/metrics.c src/admin/http.h src/admin/http.c \
	src/admin/ask.h src/admin/ask.c src/admin/live.h src/admin/live.c
