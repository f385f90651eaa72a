/* wire/command_about: what Redis 7.0 tells of its commands in COMMAND INFO, beyond the places of
 * keys (wire/command.h): flags, ACL categories, tips for clients of clusters, key specifications.
 * Clients go by it (which may be sent twice, which are reads, where the keys are), so it is Redis's
 * word for word; tests/cluster/test_session.py compares. Pure; any thread. */
#ifndef WIRE_COMMAND_ABOUT_H
#define WIRE_COMMAND_ABOUT_H

#include "wire/command.h"

struct command_about {
    const char *name;  /* upper case; of a subcommand "CONFIG|GET" */
    const char *flags; /* these three: words between blanks */
    const char *group; /* ACL categories, but for those that the flags imply */
    const char *tips;
    const char *keys; /* see below; "": none */
};

/* All of them, sorted: a container's subcommands stand behind it. */
const struct command_about *command_about_table(size_t *n);
/* NULL: Redis 7.0 has none of that name. Any case. */
const struct command_about *command_about_find(struct slice name);
/* Those of a container, as part of the table. */
const struct command_about *command_about_subs(const struct command_about *a, size_t *n);

/* The word behind `*at`, which moves on; empty: there is none. */
struct slice command_about_word(const char **at);
/* Is it in this ACL category, by its flags or otherwise? */
bool command_about_is_in(const struct command_about *a, const char *category);
/* The categories, in the order in which Redis tells them; the last one is NULL. */
extern const char *const command_categories[];

/* A key specification, as in FLAG FLAG@INDEX..LAST/STEP%LIMIT (range), FLAG@INDEX# (how many keys
 * follow stands at INDEX), FLAG@WORD:FROM... (behind that word, looked for from FROM on, from the
 * end where it is negative), FLAG@? (can't be told). Several are separated by ';'. */
struct command_keyspec {
    const char *flags; /* up to the '@' */
    struct slice word; /* empty: none */
    int begin;         /* INDEX, or FROM */
    bool unknown, counted;
    int last, step, limit;
};
/* The one at `*at`, which moves on. False: there is none. */
bool command_keyspec_next(const char **at, struct command_keyspec *k);
/* Its keys in this command line: the place of the first one, 0 where there is none; *last of the
 * last one. */
size_t command_keyspec_keys(const struct command_keyspec *k, const struct resp_command *cmd,
                            size_t *last);

#endif
