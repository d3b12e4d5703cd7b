/*
 * The configuration file: INI (read with inih), described by a table. Unknown sections or keys, repeated
 * keys, and values out of bounds are refused with a note that names file, line and key and says what
 * would be right.
 */
#ifndef VINVEIL_BASE_CONFIG_H
#define VINVEIL_BASE_CONFIG_H

#include "base/result.h"

#include <stddef.h>
#include <stdint.h>

enum config_type {
	CONFIG_TEXT,   /* char [text_size] at offset */
	CONFIG_NUMBER, /* int64_t at offset, within [number_min, number_max] */
	CONFIG_SWITCH, /* bool at offset: "on" or "off" */
};

struct config_key {
	const char *section;
	const char *key;
	enum config_type type;
	size_t offset;
	size_t text_size;
	int64_t number_min;
	int64_t number_max;
	bool required;
	const char *help; /* one line, for --help and the documentation */
};

#define CONFIG_KEYS_MAX 128

/*
 * What a file may hold beside keys: comment lines (; or #), a comment behind a value (" ;"), empty lines. No line
 * is indented or longer than inih's bound (199 bytes). RESULT_ABSENT: no such file; RESULT_INVALID: see the note.
 *
 * Reads the file into the struct that the table describes; keys not in the file keep what is there. Nothing is
 * written unless the whole file is right. Values are never quoted in the note.
 */
MUST_USE enum result config_read(const char *path, const struct config_key *keys, size_t key_count, void *ret_config,
				 struct note *note);

#endif
