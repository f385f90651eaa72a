/* Where something listens or is dialled: host:port, [ipv6]:port, or the path of a unix socket (what
 * contains a '/' is a path). Pure, except address_resolve. Any thread. */
#ifndef CORE_ADDRESS_H
#define CORE_ADDRESS_H

#include "core/compiler.h"
#include "core/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX };

struct address {
    enum address_kind kind;
    char host[256]; /* TCP: a name or a number; IPv6 without its brackets */
    uint16_t port;  /* TCP: host order */
    char path[108]; /* UNIX: what fits into sockaddr_un */
};

/* Enough for every address in its text form, with the NUL. */
#define ADDRESS_TEXT_SIZE 272

#define ADDRESS_PORT_ZERO 1u /* port 0 is fine: the kernel chooses */
#define ADDRESS_TCP_ONLY  2u /* no unix socket */

/* `flags` is 0 or an OR of the above. The error reads "found TEXT; allowed ...". */
bool address_parse(const char *text, unsigned flags, struct address *out, struct error *e) MUST_USE;

/* TCP: host:port, or a host alone, which gets this port. */
bool address_parse_host(const char *text, uint16_t port, struct address *out,
                        struct error *e) MUST_USE;

/* The text form, which address_parse reads back; cut at `room`, always ended by a NUL. */
void address_format(const struct address *a, char *out, size_t room);

/* Only this machine can reach it: a unix socket, 127.0.0.0/8, ::1 or localhost. */
bool address_is_loopback(const struct address *a);

/* Every address of the machine, 0.0.0.0 or ::: somewhere to listen, nowhere that others can dial.
 */
bool address_is_any(const struct address *a);

/* The number of this machine from which packets to `to` go out, as the routes are now; nothing is
 * sent. `to` NULL, unknown or on this machine: of its first interface that isn't loopback, and
 * where there is none, of loopback. `*out` is a number with the port `port`. A name may block for
 * seconds: at a start. */
void address_of_this_machine(const struct address *to, uint16_t port, struct address *out);

/* Either end of a connected TCP socket: its own, or the other one's. Any other socket, and one that
 * isn't connected any more: a unix socket without a path. */
void address_of_socket(int fd, bool other, struct address *out);

/* The host is a number (or it is a unix socket): address_resolve doesn't block. */
bool address_is_number(const struct address *a);

/* For bind and connect. A host that isn't a number goes through getaddrinfo, which may block for
 * seconds: not in an event loop. */
bool address_resolve(const struct address *a, struct sockaddr_storage *out, socklen_t *len,
                     struct error *e) MUST_USE;

#endif
