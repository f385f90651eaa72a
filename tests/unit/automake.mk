check_PROGRAMS += test_hash
test_hash_SOURCES = tests/unit/test_hash.c
test_hash_LDADD = $(TEST_LIBS)
TESTS += tests/unit/hash-tool.sh
EXTRA_DIST += tests/unit/hash-tool.sh tests/vectors/README.md tests/vectors/hash_tokens.tsv
check_PROGRAMS += test_frame
test_frame_SOURCES = tests/unit/test_frame.c
test_frame_LDADD = $(TEST_LIBS)
