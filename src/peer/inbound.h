/* peer/inbound: what a node believes of what a peer sends once it is let in. A peer that goes wrong
 * (or somebody in its place) may lose its own writes; it must not make this node forget those that
 * the real one sends later, nor touch what isn't a client's. Pure, any thread. */
#ifndef PEER_INBOUND_H
#define PEER_INBOUND_H

#include "core/error.h"
#include "wire/command.h"
#include "wire/frame.h"

/* A WRITE or a SKIP: could the sender that began with this start mark have given the number? False:
 * the link is refused, for a number once taken makes all below it old. */
bool inbound_number_ok(const struct frame *f, uint64_t start_mark, struct error *e) MUST_USE;

/* What came out of a packed frame: are these records, one behind the other, with such numbers? */
bool inbound_batch_ok(struct slice frames, uint64_t start_mark, struct error *e) MUST_USE;

/* Is it a write that a node may replicate: its class, its number of arguments, and no key of the
 * server's own? */
bool inbound_is_write(const struct command_spec *spec, const struct resp_command *cmd);

/* Is it one that this node may be asked to run, for what it does isn't in its arguments? */
bool inbound_is_undetermined(const struct command_spec *spec, const struct resp_command *cmd);

#endif
