/* An application of hiredis, for tests/cluster/test_clients.py: hiredis PORT STORE, where STORE is
 * embedded or redis. Exit status 0 if all was as it has to be; else one line says what wasn't. */
#include <hiredis/adapters/libuv.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define COUNT 1000

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int is_text(const redisReply *r, int type, const char *text)
{
    return r && r->type == type && strcmp(r->str, text) == 0;
}

static void must_say(redisContext *c, int type, const char *text, const char *line)
{
    redisReply *r = redisCommand(c, line);
    if (!is_text(r, type, text)) {
        fprintf(stderr, "%s: found %s (type %d); allowed: %s\n", line,
                r && r->str ? r->str : "nothing", r ? r->type : 0, text);
        exit(1);
    }
    freeReplyObject(r);
}

static void one_by_one(redisContext *c)
{
    static const char bytes[] = "a\0b\r\nc";
    redisReply *r;
    must_say(c, REDIS_REPLY_STATUS, "PONG", "PING");
    r = redisCommand(c, "SET hiredis:%s %b", "bytes", bytes, sizeof bytes);
    MUST(is_text(r, REDIS_REPLY_STATUS, "OK"));
    freeReplyObject(r);
    r = redisCommand(c, "GET hiredis:bytes");
    MUST(r && r->type == REDIS_REPLY_STRING && r->len == sizeof bytes &&
         memcmp(r->str, bytes, r->len) == 0);
    freeReplyObject(r);
    r = redisCommand(c, "GET hiredis:none");
    MUST(r && r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    must_say(c, REDIS_REPLY_ERROR, "ERR value is not an integer or out of range",
             "INCR hiredis:bytes");
    must_say(c, REDIS_REPLY_STATUS, "PONG", "PING");
}

static void pipelined(redisContext *c)
{
    redisReply *r;
    must_say(c, REDIS_REPLY_STATUS, "OK", "SET hiredis:n 0");
    for (int i = 0; i < COUNT; i++)
        MUST(redisAppendCommand(c, "INCR hiredis:n") == REDIS_OK);
    for (int i = 1; i <= COUNT; i++) {
        MUST(redisGetReply(c, (void **)&r) == REDIS_OK && r->type == REDIS_REPLY_INTEGER &&
             r->integer == i);
        freeReplyObject(r);
    }
}

static void hash_and_transaction(redisContext *c)
{
    redisReply *r = redisCommand(c, "DEL hiredis:h");
    freeReplyObject(r);
    r = redisCommand(c, "HSET hiredis:h one 1 two 2");
    MUST(r && r->type == REDIS_REPLY_INTEGER && r->integer == 2);
    freeReplyObject(r);
    r = redisCommand(c, "HGETALL hiredis:h");
    MUST(r && r->elements == 4);
    freeReplyObject(r);
    must_say(c, REDIS_REPLY_STATUS, "OK", "MULTI");
    must_say(c, REDIS_REPLY_STATUS, "QUEUED", "SET hiredis:t 1");
    must_say(c, REDIS_REPLY_STATUS, "QUEUED", "INCR hiredis:t");
    r = redisCommand(c, "EXEC");
    MUST(r && r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->integer == 2);
    freeReplyObject(r);
}

/* The third version of the protocol is hiredis 1's. */
static void resp3(redisContext *c, int redis)
{
#if HIREDIS_MAJOR >= 1
    redisReply *r = redisCommand(c, "HELLO 3");
    MUST(r && r->type == REDIS_REPLY_MAP);
    freeReplyObject(r);
    r = redisCommand(c, "GET hiredis:none");
    MUST(r && r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    if (!redis)
        return;
    r = redisCommand(c, "HGETALL hiredis:h");
    MUST(r && r->type == REDIS_REPLY_MAP && r->elements == 4);
    freeReplyObject(r);
#else
    (void)c, (void)redis;
#endif
}

static int answers;

static void on_set(redisAsyncContext *c, void *reply, void *arg)
{
    (void)c, (void)arg;
    MUST(is_text(reply, REDIS_REPLY_STATUS, "OK"));
    answers++;
}

static void on_get(redisAsyncContext *c, void *reply, void *arg)
{
    char text[20];
    snprintf(text, sizeof text, "%d", (int)(long)arg);
    MUST(is_text(reply, REDIS_REPLY_STRING, text));
    if (++answers == 2 * COUNT)
        redisAsyncDisconnect(c);
}

static void asynchronous(int port)
{
    uv_loop_t *loop = uv_default_loop();
    redisAsyncContext *c = redisAsyncConnect("127.0.0.1", port);
    MUST(c && !c->err);
    redisLibuvAttach(c, loop);
    for (int i = 0; i < COUNT; i++) {
        redisAsyncCommand(c, on_set, NULL, "SET hiredis:a%d %d", i % 10, i);
        redisAsyncCommand(c, on_get, (void *)(long)i, "GET hiredis:a%d", i % 10);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    MUST(answers == 2 * COUNT);
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    int port = atoi(argv[1]), redis = strcmp(argv[2], "redis") == 0;
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, (struct timeval){20, 0});
    MUST(c && !c->err);
    redisSetTimeout(c, (struct timeval){20, 0});
    one_by_one(c);
    pipelined(c);
    if (redis)
        hash_and_transaction(c);
    resp3(c, redis);
    redisFree(c);
    asynchronous(port);
    printf("hiredis %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return 0;
}
