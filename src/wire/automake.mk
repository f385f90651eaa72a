libdynomited_a_SOURCES += src/wire/resp.h src/wire/command.h src/wire/frame.h
