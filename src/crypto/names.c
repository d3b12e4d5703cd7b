#include "crypto/names.h"

#include "base/text.h"
#include "crypto/der.h"

#include <string.h>

#define DER_BOOLEAN	 0x01
#define DER_OCTET_STRING 0x04
#define DER_CONTEXT_1	 0x81 /* primitive */
#define DER_CONTEXT_2	 0x82
#define DER_CONTEXT_3	 0xa3 /* constructed */
#define COMMON_NAME_SIZE 65

#define OID_COMMON_NAME	      "\x55\x04\x03"
#define OID_ALTERNATIVES      "\x55\x1d\x11"
#define OID_EXTENSION_REQUEST "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"

static bool is_object(struct span object, const char *wanted)
{
	return span_equal(object, span_of(wanted, strlen(wanted)));
}

static bool skip(struct span *rest, uint8_t tag)
{
	struct span content;

	return der_take(rest, tag, &content, NULL);
}

/* ---- extensions ------------------------------------------------------------------------------------- */

/* One extension off `rest`; what it says when it is the SubjectAltName. */
static bool take_extension(struct span *rest, struct certified_names *names)
{
	struct span extension, object, value, content;

	if (!der_take(rest, DER_SEQUENCE, &extension, NULL) || !der_take(&extension, DER_OBJECT, &object, NULL))
		return false;
	(void)skip(&extension, DER_BOOLEAN); /* critical, or left out */
	if (!der_take(&extension, DER_OCTET_STRING, &value, NULL) || extension.size > 0)
		return false;
	if (!is_object(object, OID_ALTERNATIVES))
		return true;
	if (names->alternatives.size > 0) /* twice */
		return false;
	return der_is_framed(value) && der_take(&value, DER_SEQUENCE, &content, &names->alternatives) &&
	       value.size == 0;
}

/* Extensions ::= SEQUENCE OF Extension */
static bool take_extensions(struct span *rest, struct certified_names *names)
{
	struct span extensions;

	if (!der_take(rest, DER_SEQUENCE, &extensions, NULL))
		return false;
	while (extensions.size > 0) {
		if (!take_extension(&extensions, names))
			return false;
	}
	return true;
}

/* ---- CSR -------------------------------------------------------------------------------------------- */

static bool take_attribute(struct span *rest, bool *has_request, struct certified_names *names)
{
	struct span attribute, object, values;

	if (!der_take(rest, DER_SEQUENCE, &attribute, NULL) || !der_take(&attribute, DER_OBJECT, &object, NULL) ||
	    !der_take(&attribute, DER_SET, &values, NULL) || attribute.size > 0)
		return false;
	if (!is_object(object, OID_EXTENSION_REQUEST))
		return true;
	if (*has_request) /* twice */
		return false;
	*has_request = true;
	return take_extensions(&values, names) && values.size == 0;
}

static bool take_attributes(struct span *rest, struct certified_names *names)
{
	struct span attributes;
	bool has_request = false;

	if (rest->size == 0) /* left out, as some do that have none */
		return true;
	if (!der_take(rest, DER_CONTEXT_0, &attributes, NULL))
		return false;
	while (attributes.size > 0) {
		if (!take_attribute(&attributes, &has_request, names))
			return false;
	}
	return true;
}

enum result csr_read_names(struct span der, struct certified_names *ret_names)
{
	struct certified_names names = {0};
	struct span rest = der, content, info, subject;

	if (der.size > CSR_SIZE_MAX || !der_is_framed(der) || !der_take(&rest, DER_SEQUENCE, &content, NULL) ||
	    !der_take(&content, DER_SEQUENCE, &info, NULL) || !skip(&info, DER_INTEGER) ||
	    !der_take(&info, DER_SEQUENCE, &subject, &names.subject) || !skip(&info, DER_SEQUENCE) ||
	    !take_attributes(&info, &names) || info.size > 0)
		return RESULT_INVALID;
	*ret_names = names;
	return RESULT_OK;
}

/* ---- certificate ------------------------------------------------------------------------------------ */

/* What stands behind the public key: unique identifiers that nobody uses, and the extensions. */
static bool take_tail(struct span *rest, struct certified_names *names)
{
	struct span tagged;

	(void)skip(rest, DER_CONTEXT_1);
	(void)skip(rest, DER_CONTEXT_2);
	if (rest->size == 0)
		return true;
	return der_take(rest, DER_CONTEXT_3, &tagged, NULL) && take_extensions(&tagged, names) && tagged.size == 0 &&
	       rest->size == 0;
}

enum result certificate_read_names(struct span der, struct certified_names *ret_names)
{
	struct certified_names names = {0};
	struct span rest = der, content, body, subject;

	if (der.size > CERTIFICATE_SIZE_MAX || !der_is_framed(der) || !der_take(&rest, DER_SEQUENCE, &content, NULL) ||
	    !der_take(&content, DER_SEQUENCE, &body, NULL))
		return RESULT_INVALID;
	(void)skip(&body, DER_CONTEXT_0); /* the version, or left out */
	if (!skip(&body, DER_INTEGER) || !skip(&body, DER_SEQUENCE) || !skip(&body, DER_SEQUENCE) ||
	    !skip(&body, DER_SEQUENCE) || !der_take(&body, DER_SEQUENCE, &subject, &names.subject) ||
	    !skip(&body, DER_SEQUENCE) || !take_tail(&body, &names))
		return RESULT_INVALID;
	*ret_names = names;
	return RESULT_OK;
}

/* ---- comparing -------------------------------------------------------------------------------------- */

/* The type and value that stand in a SET of a Name: `text` is empty unless it is one of the two string types. */
struct name_part {
	struct span whole, object, text;
};

static bool take_text(struct span *rest, struct span *ret_text)
{
	return der_take(rest, DER_UTF8, ret_text, NULL) || der_take(rest, DER_PRINTABLE, ret_text, NULL);
}

/* One RelativeDistinguishedName off a Name's content. Of one with several parts only the whole is told. */
static bool take_part(struct span *rest, struct name_part *ret_part)
{
	struct name_part part = {0};
	struct span set, pair, text;

	if (!der_take(rest, DER_SET, &set, &part.whole))
		return false;
	if (der_take(&set, DER_SEQUENCE, &pair, NULL) && set.size == 0 &&
	    der_take(&pair, DER_OBJECT, &part.object, NULL) && take_text(&pair, &text) && pair.size == 0)
		part.text = text;
	*ret_part = part;
	return true;
}

static bool parts_are_same(const struct name_part *one, const struct name_part *other)
{
	if (span_equal(one->whole, other->whole))
		return true;
	return one->text.size > 0 && span_equal(one->text, other->text) && span_equal(one->object, other->object);
}

static bool subjects_are_same(struct span one, struct span other)
{
	struct span ours, theirs;
	struct name_part mine, yours;

	if (span_equal(one, other))
		return true;
	if (!der_take(&one, DER_SEQUENCE, &ours, NULL) || !der_take(&other, DER_SEQUENCE, &theirs, NULL))
		return false;
	while (ours.size > 0 && theirs.size > 0) {
		if (!take_part(&ours, &mine) || !take_part(&theirs, &yours) || !parts_are_same(&mine, &yours))
			return false;
	}
	return ours.size == 0 && theirs.size == 0;
}

bool names_are_same(const struct certified_names *one, const struct certified_names *other)
{
	return subjects_are_same(one->subject, other->subject) && span_equal(one->alternatives, other->alternatives);
}

enum result names_read_common_name(const struct certified_names *names, char ret_name[static COMMON_NAME_SIZE])
{
	struct span rest = names->subject, content, found = {0};
	struct name_part part;
	bool has_one = false;

	if (!der_take(&rest, DER_SEQUENCE, &content, NULL))
		return RESULT_INVALID;
	while (content.size > 0) {
		if (!take_part(&content, &part))
			return RESULT_INVALID;
		if (!is_object(part.object, OID_COMMON_NAME))
			continue;
		if (has_one)
			return RESULT_INVALID;
		has_one = true;
		found = part.text;
	}
	if (found.size == 0 || found.size >= COMMON_NAME_SIZE || !text_is_printable(found, true))
		return RESULT_INVALID;
	memcpy(ret_name, found.data, found.size);
	ret_name[found.size] = '\0';
	return RESULT_OK;
}
