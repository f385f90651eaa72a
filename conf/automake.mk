# The example configuration and the systemd unit. The example isn't installed under the name that
# the unit reads, so that an upgrade never overwrites what the administrator wrote.
EXTRA_DIST += conf/dynomited.yaml conf/dynomited.service.in
CONF_BUILT = conf/dynomited.yaml.example conf/dynomited.service
CLEANFILES += $(CONF_BUILT)

dynconfdir = $(sysconfdir)/dynomited
dynconf_DATA = conf/dynomited.yaml.example
systemdsystemunit_DATA = conf/dynomited.service

conf/dynomited.yaml.example: conf/dynomited.yaml
	$(AM_V_GEN)$(MKDIR_P) conf && cp $(top_srcdir)/conf/dynomited.yaml $@

conf/dynomited.service: conf/dynomited.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) conf && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(top_srcdir)/conf/dynomited.service.in > $@
