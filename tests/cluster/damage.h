/* tests/cluster/damage: is this what DYNOMITED_DAMAGE says? */
#ifndef DAMAGE_H
#define DAMAGE_H

#include <stdbool.h>

bool damaged(const char *what);

#endif
