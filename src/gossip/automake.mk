libdynomited_a_SOURCES += src/gossip/seeds.h src/gossip/seeds.c src/gossip/seed_list.h src/gossip/seed_list.c \
	src/gossip/seed_source.h src/gossip/seed_source.c src/gossip/figures.h src/gossip/figures.c
libdynomited_a_SOURCES += src/gossip/codec.h src/gossip/codec.c src/gossip/swim.h src/gossip/swim.c \
	src/gossip/words.h src/gossip/words.c src/gossip/members.h src/gossip/members.c \
	src/gossip/swim_internal.h src/gossip/swim_message.c src/gossip/swim_spread.c src/gossip/swim_probe.c \
	src/gossip/swim_suspect.c src/gossip/swim_learn.c src/gossip/swim_twins.c src/gossip/swim_rumour.c src/gossip/swim_exchange.c \
	src/gossip/swim_join.c src/gossip/swim_check.c src/gossip/swim_receive.c
libdynomited_a_SOURCES += src/gossip/gossip.h src/gossip/gossip_internal.h src/gossip/gossip.c src/gossip/gossip_members.c src/gossip/gossip_orders.c \
	src/gossip/conns.h src/gossip/conns.c
