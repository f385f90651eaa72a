check_PROGRAMS += test_hash
test_hash_SOURCES = tests/unit/test_hash.c
test_hash_LDADD = $(TEST_LIBS)
TESTS += tests/unit/hash-tool.sh
EXTRA_DIST += tests/unit/hash-tool.sh tests/vectors/README.md tests/vectors/hash_tokens.tsv
check_PROGRAMS += test_frame
test_frame_SOURCES = tests/unit/test_frame.c
test_frame_LDADD = $(TEST_LIBS)
check_PROGRAMS += test_resp
test_resp_SOURCES = tests/unit/test_resp.c
test_resp_LDADD = $(TEST_LIBS)
check_PROGRAMS += test_address test_config
test_address_SOURCES = tests/unit/test_address.c
test_address_LDADD = $(TEST_LIBS)
test_config_SOURCES = tests/unit/test_config.c
test_config_LDADD = $(TEST_LIBS)
test_config_CPPFLAGS = $(AM_CPPFLAGS) -DCONF_EXAMPLE='"$(abs_top_srcdir)/conf/dynomited.yaml"'
