/* table: what dyn-admin shows people of an answer: single values one a line, lists of flat objects
 * as tables, an empty line between two paragraphs. To stdout. */
#ifndef TOOLS_TABLE_H
#define TOOLS_TABLE_H

#include <jansson.h>

void table_print(json_t *o);
/* The same by its parts. Begins a paragraph: prints the title, as printf. */
void table_title(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The members of an object; before each that isn't an object or a list stands `indent`. */
void table_members(json_t *o, const char *indent);
/* An array of flat objects; the first one's members are the columns. What is too long for a column
 * stands below, one line a thing. */
void table_rows(const json_t *rows);

#endif
