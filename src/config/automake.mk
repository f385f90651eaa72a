libdynomited_a_SOURCES += src/config/config.h src/config/config.c src/config/option.h \
	src/config/option.c src/config/table.c src/config/type.h src/config/type.c \
	src/config/list.c src/config/load.h src/config/load.c src/config/yaml.c \
	src/config/flags.c src/config/live.c src/config/help.c src/config/print.c
libdynomited_a_SOURCES += src/config/buckets.h src/config/buckets.c src/config/secret.h \
	src/config/secret.c
