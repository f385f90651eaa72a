check_PROGRAMS += test_hash
test_hash_SOURCES = tests/unit/test_hash.c
test_hash_LDADD = $(TEST_LIBS)
EXTRA_DIST += tests/vectors/README.md tests/vectors/hash_tokens.tsv
