/* client/session: the commands that a node answers itself: about the connection, the server, the
 * ring. Each has a function that looks at c->cmd and appends the reply, in RESP2. Internal to the
 * room; the worker's thread.
 *
 *     session.c          the table of them, the small ones, subcommands
 *     session_auth.c     passwords and names; AUTH HELLO RESET
 *     session_client.c   CLIENT, but for
 *     session_roll.c     LIST and KILL, which go round the workers
 *     session_command.c  COMMAND
 *     session_acl.c      ACL
 *     session_cluster.c  CLUSTER
 *     session_config.c   CONFIG
 *     session_info.c     INFO */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "client/call.h"

#define SESSION_REDIS_VERSION "7.0.15" /* whose commands and errors we speak */

/* Bytes of a pattern for names of commands or parameters; a longer one, which would be compared
 * with each of them, is that of none. */
#define SESSION_PATTERN_MAX 1024u

typedef void session_fn(struct client *c, struct buf *b);

/* The commands that a node answers itself. False: it must wait. */
bool session_command(struct client *c, const struct command_spec *spec);
/* Appends the reply of c->cmd, where that can be had at once; no call is made. False: nothing was
 * appended: it isn't one of these commands, or others have to be asked. */
bool session_reply(struct client *c, const struct command_spec *spec, struct buf *b);

/* What a client may do that has yet to say the password. */
bool session_without_password(const struct command_spec *spec);

/* ---- what the files of the session share ------------------------------------------------------
 */

struct subcommand {
    const char *name;
    int arity;        /* with both names; negative: at least */
    session_fn *run;  /* NULL: others have to be asked, which session_command does */
    const char *help; /* its arguments, what it does */
};
#define SESSION_SUBCOMMANDS(c, b, container, subs)                                                 \
    session_subcommand(c, b, container, subs, ARRAY_LEN(subs))
/* The one that c->cmd names, HELP, or Redis's error for those that there aren't. */
void session_subcommand(struct client *c, struct buf *b, const char *container,
                        const struct subcommand *subs, size_t n);

/* What a command repeats as often as its arguments ask for it ends at client_output_max_bytes: then
 * an error takes the reply's place, and this is true. */
bool session_too_large(const struct client *c, struct buf *b);
/* Empty where there are fewer. */
struct slice session_arg(const struct client *c, size_t i);
/* How much of an argument an error quotes. */
int session_quoted(struct slice s);
bool session_arity_ok(size_t argc, int arity);
void session_add_lower(struct buf *b, const char *name);
void session_add_pair(struct buf *b, const char *key, const char *value);
/* "" where it has none. False: not a name; the error is appended. */
bool session_set_name(struct client *c, struct slice name, struct buf *b);
bool session_valid_name(struct slice s);
/* False: it is too long; the error is appended. */
bool session_name_fits(struct slice s, struct buf *b);
/* One line of CLIENT LIST, without its end. */
void session_add_client(struct buf *b, const struct client *c);
/* CLIENT LIST and CLIENT KILL: all workers are asked. False: it isn't one of them. */
bool session_ask_workers(struct client *c, const struct command_spec *spec);

session_fn session_auth, session_hello, session_reset, session_acl, session_client, session_cluster,
    session_commands, session_config, session_info;

/* The commands of an ACL category that are served here. False: there is no such category. */
bool session_list_category(struct client *c, struct slice category, struct buf *b);
uint64_t session_max_clients(const struct config *c);

#endif
