libdynomited_a_SOURCES += src/wire/resp.h src/wire/command.h src/wire/frame.h
libdynomited_a_SOURCES += src/wire/crc32c.h src/wire/crc32c.c src/wire/frame.c
libdynomited_a_SOURCES += src/wire/resp.c
