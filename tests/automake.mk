# Check suites: one program per core, named test_<core>.
TEST_LIBS = libdynomited.a $(CHECK_LIBS) $(DYN_LIBS)
AM_TESTS_ENVIRONMENT = CK_FORK=$${CK_FORK-yes}; export CK_FORK; \
	TEST_VECTORS='$(abs_top_srcdir)/tests/vectors'; export TEST_VECTORS;
include tests/unit/automake.mk
include tests/fuzz/automake.mk
