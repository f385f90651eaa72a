# Fuzz targets. They are always compiled, and `make check` runs each over its committed corpus; with
# --enable-fuzzers (clang) they are libFuzzer programs, and `make fuzz FUZZ_SECONDS=60` lets each
# one search from there. A new target fuzz_<core> takes the three lines that the others have, and a
# few inputs in tests/fuzz/corpus/<core>/.
FUZZ_LIBS = libdynomited.a $(DYN_LIBS) $(FUZZ_LDFLAGS)
FUZZ_TARGETS =
FUZZ_MAIN = tests/fuzz/fuzz.h
if !FUZZERS
FUZZ_MAIN += tests/fuzz/replay.c
endif
noinst_PROGRAMS += $(FUZZ_TARGETS)

FUZZ_TARGETS += fuzz_frame
fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c $(FUZZ_MAIN)
fuzz_frame_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += fuzz_gossip
fuzz_gossip_SOURCES = tests/fuzz/fuzz_gossip.c $(FUZZ_MAIN)
fuzz_gossip_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += fuzz_link
fuzz_link_SOURCES = tests/fuzz/fuzz_link.c $(FUZZ_MAIN)
fuzz_link_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += fuzz_memcache
fuzz_memcache_SOURCES = tests/fuzz/fuzz_memcache.c $(FUZZ_MAIN)
fuzz_memcache_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += fuzz_resp
fuzz_resp_SOURCES = tests/fuzz/fuzz_resp.c $(FUZZ_MAIN)
fuzz_resp_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += fuzz_resp3
fuzz_resp3_SOURCES = tests/fuzz/fuzz_resp3.c $(FUZZ_MAIN)
fuzz_resp3_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += fuzz_segment
fuzz_segment_SOURCES = tests/fuzz/fuzz_segment.c $(FUZZ_MAIN)
fuzz_segment_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += fuzz_swim
fuzz_swim_SOURCES = tests/fuzz/fuzz_swim.c $(FUZZ_MAIN)
fuzz_swim_LDADD = $(FUZZ_LIBS)

FUZZ_SECONDS = 10
fuzz: $(FUZZ_TARGETS)
	FUZZ_TARGETS='$(FUZZ_TARGETS)' srcdir='$(srcdir)' \
		$(SHELL) $(srcdir)/tests/fuzz/fuzz.sh search $(FUZZ_SECONDS)
clean-fuzz:
	rm -rf fuzz-found
clean-local: clean-fuzz
.PHONY: fuzz clean-fuzz

AM_TESTS_ENVIRONMENT += FUZZ_TARGETS='$(FUZZ_TARGETS)'; export FUZZ_TARGETS;
TESTS += tests/fuzz/fuzz.sh
EXTRA_DIST += tests/fuzz/fuzz.sh tests/fuzz/replay.c tests/fuzz/make_corpus.py tests/fuzz/corpus
