libdynomited_a_SOURCES += src/peer/peer.h src/peer/peer.c src/peer/mail.h \
	src/peer/standby.h src/peer/standby.c src/peer/handshake.h src/peer/handshake.c
