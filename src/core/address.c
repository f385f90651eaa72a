#include "core/address.h"
#include "core/buf.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

static bool refuse(const char *text, unsigned flags, struct error *e)
{
    return error_set(e, "found %.100s; allowed host:port or [ipv6]:port with port %d..65535%s",
                     *text ? text : "''", flags & ADDRESS_PORT_ZERO ? 0 : 1,
                     flags & ADDRESS_TCP_ONLY ? ""
                                              : ", or a unix socket path of at most 107 bytes");
}

static bool copy(char *out, size_t room, const char *from, size_t len)
{
    if (len == 0 || len >= room)
        return false;
    memcpy(out, from, len);
    out[len] = 0;
    return true;
}

static bool ipv6_ok(const char *host)
{
    char bare[256];
    struct in6_addr ignored;
    /* fe80::1%eth0: the zone is for the resolver */
    return copy(bare, sizeof bare, host, strcspn(host, "%")) &&
           inet_pton(AF_INET6, bare, &ignored) == 1;
}

/* A name, or four numbers: 300.1.2.3 would only be found wrong by the resolver, much later. */
static bool name_ok(const char *host)
{
    struct in_addr ignored;
    if (host[strspn(host, "0123456789.")] == 0)
        return inet_pton(AF_INET, host, &ignored) == 1;
    return host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789.-_")] == 0;
}

static bool parse_port(const char *text, unsigned flags, uint16_t *out)
{
    int64_t n;
    if (!slice_to_i64(slice_str(text), &n) || n > 65535 || n < (flags & ADDRESS_PORT_ZERO ? 0 : 1))
        return false;
    *out = (uint16_t)n;
    return true;
}

static bool parse_tcp(const char *text, unsigned flags, struct address *out)
{
    const char *colon = strrchr(text, ':');
    if (!colon || !parse_port(colon + 1, flags, &out->port))
        return false;
    size_t len = (size_t)(colon - text);
    if (text[0] == '[')
        return len > 2 && text[len - 1] == ']' &&
               copy(out->host, sizeof out->host, text + 1, len - 2) && ipv6_ok(out->host);
    return copy(out->host, sizeof out->host, text, len) && name_ok(out->host);
}

bool address_parse(const char *text, unsigned flags, struct address *out, struct error *e)
{
    struct address a;
    memset(&a, 0, sizeof a); /* all of it, so that equal addresses are equal bytes */
    bool ok;
    if (strchr(text, '/')) {
        a.kind = ADDRESS_UNIX;
        ok = !(flags & ADDRESS_TCP_ONLY) && copy(a.path, sizeof a.path, text, strlen(text));
    } else {
        a.kind = ADDRESS_TCP;
        ok = parse_tcp(text, flags, &a);
    }
    if (!ok)
        return refuse(text, flags, e);
    *out = a;
    return true;
}

/* A host alone has no colon outside of brackets; an IPv6 number without brackets is refused, since
 * its last group might be meant as a port. */
bool address_parse_host(const char *text, uint16_t port, struct address *out, struct error *e)
{
    char full[ADDRESS_TEXT_SIZE], tail[8] = "";
    struct address a;
    if (!strchr(text, ':') || text[strlen(text) - 1] == ']')
        snprintf(tail, sizeof tail, ":%u", port);
    int n = snprintf(full, sizeof full, "%s%s", text, tail);
    if (n < 0 || (size_t)n >= sizeof full || !address_parse(full, ADDRESS_TCP_ONLY, &a, NULL))
        return error_set(e, "found %.100s; allowed host or host:port with port 1..65535",
                         *text ? text : "''");
    *out = a;
    return true;
}

void address_format(const struct address *a, char *out, size_t room)
{
    if (a->kind == ADDRESS_UNIX)
        snprintf(out, room, "%s", a->path);
    else if (strchr(a->host, ':'))
        snprintf(out, room, "[%s]:%u", a->host, a->port);
    else
        snprintf(out, room, "%s:%u", a->host, a->port);
}

bool address_is_loopback(const struct address *a)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (a->kind == ADDRESS_UNIX || strcasecmp(a->host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, a->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, a->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool address_is_any(const struct address *a)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (a->kind == ADDRESS_UNIX)
        return false;
    if (inet_pton(AF_INET, a->host, &v4) == 1)
        return v4.s_addr == htonl(INADDR_ANY);
    return inet_pton(AF_INET6, a->host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6);
}

static bool take_number(const struct sockaddr *sa, socklen_t len, struct address *out)
{
    return getnameinfo(sa, len, out->host, sizeof out->host, NULL, 0, NI_NUMERICHOST) == 0 &&
           !strchr(out->host, '%') && !address_is_loopback(out) && !address_is_any(out);
}

static bool by_route(const struct address *to, struct address *out)
{
    struct sockaddr_storage there, here;
    socklen_t len = 0, here_len = sizeof here;
    struct error ignored;
    if (!to || !address_resolve(to, &there, &len, &ignored))
        return false;
    int fd = socket(there.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&there, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
              take_number((struct sockaddr *)&here, here_len, out);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool by_interface(struct address *out)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
        found = i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
                take_number(i->ifa_addr, sizeof(struct sockaddr_in), out);
    freeifaddrs(all);
    return found;
}

void address_of_this_machine(const struct address *to, uint16_t port, struct address *out)
{
    *out = (struct address){.kind = ADDRESS_TCP, .port = port};
    if (!by_route(to, out) && !by_interface(out))
        snprintf(out->host, sizeof out->host, "127.0.0.1");
}

void address_of_socket(int fd, bool other, struct address *out)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    char port[8] = "0";
    int rc = other ? getpeername(fd, (struct sockaddr *)&at, &len)
                   : getsockname(fd, (struct sockaddr *)&at, &len);
    *out = (struct address){.kind = ADDRESS_UNIX};
    if (rc != 0 || at.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&at, len, out->host, sizeof out->host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    out->kind = ADDRESS_TCP;
    out->port = (uint16_t)atoi(port);
}

bool address_is_number(const struct address *a)
{
    struct in_addr ignored;
    return a->kind == ADDRESS_UNIX || inet_pton(AF_INET, a->host, &ignored) == 1 ||
           ipv6_ok(a->host);
}

static bool resolve_tcp(const struct address *a, struct sockaddr_storage *out, socklen_t *len,
                        struct error *e)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char port[8];
    hints.ai_flags = AI_NUMERICSERV;
    snprintf(port, sizeof port, "%u", a->port);
    int rc = getaddrinfo(a->host, port, &hints, &found);
    if (rc != 0)
        return error_set(e, "%s: %s", a->host, gai_strerror(rc));
    memset(out, 0, sizeof *out);
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool address_resolve(const struct address *a, struct sockaddr_storage *out, socklen_t *len,
                     struct error *e)
{
    if (a->kind == ADDRESS_TCP)
        return resolve_tcp(a, out, len, e);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, a->path, sizeof a->path);
    memset(out, 0, sizeof *out);
    memcpy(out, &un, sizeof un);
    *len = sizeof un;
    return true;
}
