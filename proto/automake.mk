# protobuf-c code is generated into the build tree.
PROTO_FILES = proto/link.proto proto/admin.proto proto/gossip.proto
EXTRA_DIST += $(PROTO_FILES)
PROTO_BUILT = proto/link.pb-c.c proto/link.pb-c.h proto/admin.pb-c.c proto/admin.pb-c.h \
	proto/gossip.pb-c.c proto/gossip.pb-c.h
nodist_libdynomited_a_SOURCES += $(PROTO_BUILT)
BUILT_SOURCES += $(PROTO_BUILT)
CLEANFILES += $(PROTO_BUILT)

proto/%.pb-c.c: proto/%.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) --proto_path=$(top_srcdir)/proto --c_out=proto $(top_srcdir)/proto/$*.proto
proto/%.pb-c.h: proto/%.pb-c.c ;
