libdynomited_a_SOURCES += src/peer/peer.h src/peer/peer.c src/peer/mail.h src/peer/mail.c \
	src/peer/inbound.h src/peer/inbound.c src/peer/standby.h src/peer/standby.c src/peer/handshake.h src/peer/handshake.c \
	src/peer/keep.h src/peer/keep.c src/peer/roster.h src/peer/roster.c src/peer/waiters.h src/peer/waiters.c src/peer/reads.h src/peer/reads.c \
	src/peer/carrier.h src/peer/carrier.c \
	src/peer/delivery.h src/peer/delivery.c src/peer/hinting.h src/peer/hinting.c \
	src/peer/bucket.h src/peer/bucket.c src/peer/meter.h src/peer/orders.h src/peer/orders.c src/peer/pace.h src/peer/pace.c \
	src/peer/distance.h src/peer/distance.c \
	src/peer/watermarks.h src/peer/watermarks.c src/peer/clocks.h src/peer/clocks.c \
	src/peer/sender.h src/peer/sender_internal.h src/peer/sender.c src/peer/sender_link.c src/peer/sender_flow.c \
	src/peer/sender_orders.c src/peer/receiver.h src/peer/receiver.c
libdynomited_a_SOURCES += src/peer/orphans.h src/peer/orphans.c src/peer/logs.h src/peer/logs.c
