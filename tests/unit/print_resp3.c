/* wire/resp3 for resp3.py. On stdin, over and over: a command line and its reply in RESP2; on
 * stdout the reply in RESP3. Each is preceded by its length, a u32, little-endian. */
#include "wire/resp3.h"
#include <stdio.h>
#include <stdlib.h>

static bool read_bytes(struct buf *b)
{
    uint8_t head[4];
    buf_reset(b, 0);
    if (fread(head, sizeof head, 1, stdin) != 1)
        return false;
    size_t n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    uint8_t *to = buf_reserve(b, n + 1);
    buf_commit(b, fread(to, 1, n, stdin));
    return b->len == n;
}

static void write_bytes(const struct buf *b)
{
    const uint8_t head[4] = {(uint8_t)b->len, (uint8_t)(b->len >> 8), (uint8_t)(b->len >> 16),
                             (uint8_t)(b->len >> 24)};
    fwrite(head, sizeof head, 1, stdout);
    fwrite(buf_head(b), 1, b->len, stdout);
    fflush(stdout);
}

static unsigned shape_of(const struct resp_command *cmd)
{
    const struct command_spec *spec = command_find(cmd->argv[0]);
    return spec ? resp3_shape(spec, cmd) : RESP3_PLAIN;
}

int main(void)
{
    struct buf line = BUF_INIT, reply = BUF_INIT, out = BUF_INIT;
    struct resp_command cmd = {0};
    while (read_bytes(&line) && read_bytes(&reply)) {
        if (!resp_command_parse(buf_slice(&line), &cmd))
            return EXIT_FAILURE;
        resp3_add(shape_of(&cmd), buf_slice(&reply), &out);
        write_bytes(&out);
        buf_reset(&out, 0);
    }
    resp_command_fini(&cmd);
    buf_fini(&line);
    buf_fini(&reply);
    return EXIT_SUCCESS;
}
