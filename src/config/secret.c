#include "config/secret.h"
#include "config/config.h"
#include "config/option.h"
#include "config/type.h"
#include "core/mem.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

struct secret *secret_new(const char *text)
{
    size_t len = strlen(text);
    if (len == 0)
        return NULL;
    struct secret *s = mem_calloc(1, sizeof *s + len + 1);
    s->len = len;
    memcpy(s->text, text, len + 1);
    return s;
}

void secret_reclaim(struct rcu_head *head)
{
    struct secret *s = container_of_(head, struct secret, rcu);
    OPENSSL_cleanse(s->text, s->len);
    mem_free(s);
}

/* The digests are of one length, and at what place two differ tells nothing of the texts. */
bool secret_is(const struct secret *s, struct slice given)
{
    uint8_t ours[SHA256_DIGEST_LENGTH], theirs[SHA256_DIGEST_LENGTH];
    if (given.len > SECRET_MAX)
        return false;
    SHA256((const uint8_t *)s->text, s->len, ours);
    SHA256(given.len ? given.ptr : (const uint8_t *)"", given.len, theirs);
    return CRYPTO_memcmp(ours, theirs, sizeof ours) == 0;
}

bool config_password_is(const struct config *c, struct slice given)
{
    rcu_read_begin();
    const struct secret *s = RCU_GET(c->requirepass);
    bool is = s && secret_is(s, given);
    rcu_read_end();
    return is;
}

/* ---- the type of the option --------------------------------------------------------------------
 */

static struct secret **secret_at(const struct option *o, const struct config *c)
{
    return option_at(o, c);
}

static void clear(const struct option *o, struct config *c)
{
    struct secret *s = *secret_at(o, c);
    *secret_at(o, c) = NULL;
    if (s)
        secret_reclaim(&s->rcu);
}

static bool add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    size_t len = strlen(text);
    if (len > SECRET_MAX)
        return error_set(e, "found %zu bytes; allowed at most %d", len, SECRET_MAX);
    clear(o, c);
    *secret_at(o, c) = secret_new(text);
    return true;
}

static char *item(const struct option *o, const struct config *c, size_t i UNUSED)
{
    const struct secret *s = RCU_GET(*secret_at(o, c));
    return mem_strdup(s ? s->text : "");
}

static void publish(struct config *from, struct config *to)
{
    struct secret *old = RCU_SWAP(to->requirepass, from->requirepass);
    from->requirepass = NULL;
    if (old)
        rcu_defer(&old->rcu, secret_reclaim);
}

const struct option_type type_secret = {
    .is_text = true, .add = add, .item = item, .clear = clear, .publish = publish};
