#include "wire/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What a letter stands for; -1: it isn't one. The padding stands for 0. */
static int letter(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '/')
        return c == '+' ? 62 : 63;
    return c == '=' ? 0 : -1;
}

static size_t letters(struct slice text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += letter(text.ptr[i]) >= 0;
    return n;
}

size_t base64_decode(struct slice text, uint8_t *out)
{
    uint32_t group = 0;
    size_t n = 0, in_group = 0, padding = 0;
    if (letters(text) % 4)
        return 0;
    for (size_t i = 0; i < text.len && !(padding && in_group == 0); i++) {
        int v = letter(text.ptr[i]);
        if (v < 0)
            continue;
        padding += text.ptr[i] == '=';
        group = group << 6 | (uint32_t)v;
        in_group = (in_group + 1) % 4;
        if (in_group)
            continue;
        out[n++] = (uint8_t)(group >> 16);
        out[n++] = (uint8_t)(group >> 8);
        out[n++] = (uint8_t)group;
    }
    return padding > 2 ? 0 : n - padding;
}

void base64_add(struct buf *b, struct slice bytes)
{
    uint8_t *to = buf_reserve(b, BASE64_ENCODED(bytes.len));
    size_t n = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i;
        uint32_t group = (uint32_t)bytes.ptr[i] << 16;
        group |= have > 1 ? (uint32_t)bytes.ptr[i + 1] << 8 : 0;
        group |= have > 2 ? bytes.ptr[i + 2] : 0;
        to[n++] = (uint8_t)alphabet[group >> 18];
        to[n++] = (uint8_t)alphabet[group >> 12 & 63];
        to[n++] = have > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        to[n++] = have > 2 ? (uint8_t)alphabet[group & 63] : '=';
    }
    buf_commit(b, n);
}
