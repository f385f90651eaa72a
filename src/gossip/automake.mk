libdynomited_a_SOURCES += src/gossip/seeds.h src/gossip/seeds.c src/gossip/seed_list.h src/gossip/seed_list.c \
	src/gossip/seed_source.h src/gossip/seed_source.c src/gossip/figures.h src/gossip/figures.c
