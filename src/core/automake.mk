libdynomited_a_SOURCES += src/core/compiler.h src/core/bytes.h src/core/error.h src/core/error.c \
	src/core/mem.h src/core/mem.c src/core/buf.h src/core/buf.c src/core/log.h src/core/log.c \
	src/core/clock.h src/core/clock.c src/core/hlc.c src/core/rcu.h src/core/rcu.c \
	src/core/mailbox.h src/core/mailbox.c src/core/actor.h src/core/actor.c \
	src/core/stream.h src/core/stream.c src/core/slots.h src/core/slots.c src/core/lock.h src/core/lock.c \
	src/core/dial.h src/core/dial.c src/core/alarm.h src/core/alarm.c
libdynomited_a_SOURCES += src/core/address.h src/core/address.c
libdynomited_a_SOURCES += src/core/listener.h src/core/listener.c src/core/datadir.h src/core/datadir.c
libdynomited_a_SOURCES += src/core/histogram.h
