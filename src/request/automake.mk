libdynomited_a_SOURCES += src/request/stats.h src/request/level.h src/request/plan.h src/request/plan.c \
	src/request/quorum.h src/request/quorum.c src/request/request.h src/request/flight.h src/request/request.c \
	src/request/request_read.c src/request/request_write.c src/request/request_execute.c src/request/request_ring.c \
	src/request/inspect.h src/request/inspect.c src/request/writer.h src/request/writer_internal.h src/request/writer.c \
	src/request/writer_members.c src/request/writer_peers.c src/request/writer_writes.c src/request/writer_orders.c src/request/writer_store.c \
	src/request/effect.h src/request/effect.c src/request/effect_parts.h src/request/effect_parts.c src/request/effect_group.c src/request/effect_transaction.c src/request/effect_memcache.c src/request/writer_effects.h src/request/writer_effects.c \
	src/request/own.h src/request/own.c src/request/batch.h src/request/batch.c src/request/sources.h src/request/sources.c \
	src/request/replicate.h src/request/replicate.c src/request/handoff.h src/request/handoff.c \
	src/request/handoff_chunk.h src/request/handoff_chunk.c src/request/handoff_recover.c \
	src/request/pulse.h src/request/pulse.c src/request/writer_mend.c \
	src/request/mend.h src/request/mend.c src/request/copies.h src/request/copies.c \
	src/request/repair_queue.h src/request/repair_queue.c src/request/repair.h src/request/repair.c \
	src/request/hedge.h src/request/hedge.c src/request/request_hedge.c src/request/nearest.h src/request/nearest.c
