#include "programs/vinveil/simulate_credentials.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_DIGITS 6
#define SUFFIX	      ".pem"
#define NAME_LENGTH   (NUMBER_DIGITS + 1 + UUID_TEXT_LENGTH + sizeof SUFFIX - 1)

/* "000017-0b54c8d0-….pem"; anything else in the directory is not ours and is left alone. */
static bool parse_name(const char *name, uint64_t *ret_number, char ret_reference_id[static UUID_TEXT_SIZE])
{
	struct uuid uuid;
	if (strlen(name) != NAME_LENGTH || name[NUMBER_DIGITS] != '-' ||
	    strcmp(name + NAME_LENGTH - (sizeof SUFFIX - 1), SUFFIX) != 0 ||
	    uuid_parse(span_of(name + NUMBER_DIGITS + 1, UUID_TEXT_LENGTH), &uuid) != RESULT_OK)
		return false;
	*ret_number = 0;
	for (size_t i = 0; i < NUMBER_DIGITS; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		*ret_number = *ret_number * 10 + (uint64_t)(name[i] - '0');
	}
	uuid_format(&uuid, ret_reference_id);
	return true;
}

static enum result set_identity(const char *directory, struct vehicle_identity *identity, const char *reference_id)
{
	char name[NAME_LENGTH + 1];
	snprintf(name, sizeof name, "%0*u-%s" SUFFIX, NUMBER_DIGITS, identity->number, reference_id);
	TRY(path_join(directory, name, identity->path));
	snprintf(identity->reference_id, sizeof identity->reference_id, "%s", reference_id);
	return RESULT_OK;
}

enum result credentials_find(const char *directory, struct vehicle_identity *ret_identities, size_t count,
			     struct note *note)
{
	char reference_id[UUID_TEXT_SIZE];
	uint64_t number;
	TRY(directory_make(directory, 0700, note));
	for (size_t i = 0; i < count; i++)
		ret_identities[i] = (struct vehicle_identity){.number = (uint32_t)i + 1};
	DIR *entries = opendir(directory);
	if (entries == NULL) {
		note_set(note, "%.200s: %s", directory, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	enum result result = RESULT_OK;
	for (struct dirent *entry; result == RESULT_OK && (entry = readdir(entries)) != NULL;)
		if (parse_name(entry->d_name, &number, reference_id) && number >= 1 && number <= count)
			result = set_identity(directory, &ret_identities[number - 1], reference_id);
	closedir(entries);
	return result;
}

/* Each PEM text begins on a line of its own, however the one before it ended. */
static enum result append_pem(struct buf *all, struct span pem)
{
	TRY(buf_append(all, pem));
	return pem.size > 0 && pem.data[pem.size - 1] != '\n' ? buf_append_byte(all, '\n') : RESULT_OK;
}

/* Whole or not at all, but not synced: thousands of vehicles are provisioned beside the platform, on its own disk, and
   its syncs are what is to be measured. */
static enum result replace_file(const char *path, struct span content, struct note *note)
{
	char temporary[PATH_SIZE];
	if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
		return RESULT_EXHAUSTED;
	int descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t written = descriptor >= 0 ? write(descriptor, content.data, content.size) : -1;
	bool is_whole = written == (ssize_t)content.size;
	if (descriptor >= 0)
		is_whole = close(descriptor) == 0 && is_whole;
	if (is_whole && rename(temporary, path) == 0)
		return RESULT_OK;
	note_set(note, "%.200s: %s", path, strerror(errno));
	return RESULT_UNAVAILABLE;
}

enum result credentials_keep(const char *directory, struct vehicle_identity *identity, const char *reference_id,
			     struct span certificate, struct span chain, struct span key_pem, struct note *note)
{
	BUF_CLEANUP struct buf all = {0};
	char former[PATH_SIZE];
	snprintf(former, sizeof former, "%s", identity->path);
	TRY(append_pem(&all, certificate));
	TRY(append_pem(&all, chain));
	TRY(append_pem(&all, key_pem));
	TRY(set_identity(directory, identity, reference_id));
	TRY(replace_file(identity->path, buf_span(&all), note));
	if (former[0] != '\0' && strcmp(former, identity->path) != 0)
		unlink(former);
	return RESULT_OK;
}
