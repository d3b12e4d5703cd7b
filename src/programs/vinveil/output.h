/*
 * What commands print on stdout: the platform's JSON as it is (--json), or lines and tables for people.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_OUTPUT_H
#define VINVEIL_PROGRAMS_VINVEIL_OUTPUT_H

#include "programs/vinveil/api_connection.h"

/* With --json prints the body and returns true: the command is done. */
bool output_json(const struct invocation *invocation, const struct api_answer *answer);

/* "label        value" for each member named; nested members by dots ("credentials.serialNumber"); absent ones left
 * out. */
struct output_member {
	const char *path, *label;
};
void output_members(const json_t *object, const struct output_member *members, size_t count);

/* A table with a header line, columns as wide as their content, one line an element of the array. */
void output_table(const json_t *array, const struct output_member *columns, size_t count);

#endif
