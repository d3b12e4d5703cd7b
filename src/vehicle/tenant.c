#include "vehicle/tenant.h"

static bool is_id_character(uint8_t byte, bool is_first)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || (byte == '-' && !is_first);
}

enum result tenant_id_parse(struct span text, struct tenant_id *ret_id)
{
	if (text.size == 0 || text.size > TENANT_ID_LENGTH_MAX)
		return RESULT_INVALID;
	for (size_t i = 0; i < text.size; i++)
		if (!is_id_character(text.data[i], i == 0))
			return RESULT_INVALID;
	*ret_id = (struct tenant_id){0};
	memcpy(ret_id->text, text.data, text.size);
	return RESULT_OK;
}

bool tenant_id_equal(const struct tenant_id *a, const struct tenant_id *b)
{
	return strcmp(a->text, b->text) == 0;
}

static const char *const policy_names[] = {
	[CHECK_DIGIT_OFF] = "off",
	[CHECK_DIGIT_WARN] = "warn",
	[CHECK_DIGIT_ENFORCE] = "enforce",
};
#define POLICY_COUNT (sizeof(policy_names) / sizeof(policy_names[0]))

const char *check_digit_policy_name(enum check_digit_policy policy)
{
	return policy_names[policy];
}

enum result check_digit_policy_parse(struct span text, enum check_digit_policy *ret_policy)
{
	for (size_t i = 0; i < POLICY_COUNT; i++) {
		if (!span_is_text(text, policy_names[i]))
			continue;
		*ret_policy = (enum check_digit_policy)i;
		return RESULT_OK;
	}
	return RESULT_INVALID;
}
