bin_PROGRAMS += dyn-hash-tool
dyn_hash_tool_SOURCES = tools/dyn-hash-tool.c
dyn_hash_tool_LDADD = libdynomited.a $(CRYPTO_LIBS) $(ZLIB_LIBS)
bin_PROGRAMS += dyn-admin
dyn_admin_SOURCES = tools/dyn-admin.c tools/table.h tools/table.c tools/status.h tools/status.c
EXTRA_DIST += tools/dev
