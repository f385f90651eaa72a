/* sim/data_store: a model of a store, behind store/store.h: a map in which a batch has its effect
 * in one step, together with its senders' numbers. The string commands are the embedded store's
 * own. What it has outlives its process: it stands on a shelf by node. */
#ifndef SIM_DATA_STORE_H
#define SIM_DATA_STORE_H

#include "core/buf.h"
#include "store/store.h"

#define DATA_KEYS_MAX 128 /* named k0, k1, ... */

struct data_cell {
    bool found;  /* something is known of the key, if only its stamps */
    bool exists; /* it has a value */
    struct {
        uint64_t time;
        uint16_t tag;
    } overwrite, newest;
    size_t len, cap;
    char *value;
};

struct data_store_options {
    bool stamps;      /* older writes than a key's last overwrite are dropped */
    unsigned slow_us; /* of an external store: how long a batch takes, at most */
};

void data_store_begin(const struct data_store_options *o);
void data_store_end(void);
const struct data_cell *data_store_cell(unsigned node, unsigned key);
/* The number of the sender with this id. */
uint64_t data_store_number(unsigned node, const char *id);
void data_store_wipe(unsigned node);
void data_store_killed(unsigned node); /* its process is gone */
/* While the node runs. The connection to it breaks, for so long; it is full, for so long. */
void data_store_break(unsigned node, unsigned ms);
void data_store_fill(unsigned node, unsigned ms);
unsigned data_key_of(struct slice key);

/* Somebody wants to know of each write that comes to a store: sim/data. */
void data_saw_write(unsigned node, const struct store_write *w, bool stale);

#endif
