#include "crypto/csr.h"

#include "crypto/der.h"

#include <openssl/obj_mac.h>

static const struct plain_key plain_keys[] = {
	{EVP_PKEY_EC, NID_X9_62_prime256v1, 26, 65,
	 "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"},
	{EVP_PKEY_EC, NID_secp384r1, 23, 97,
	 "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"},
	{EVP_PKEY_ED25519, NID_undef, 12, 32, "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"},
};

/* The signature's AlgorithmIdentifier, without parameters (RFC 5758 section 3.2, RFC 8410 section 3). */
static const struct plain_signature {
	int algorithm, digest;
	size_t size;
	const char *encoding;
} plain_signatures[] = {
	{EVP_PKEY_EC, NID_sha256, 12, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"},
	{EVP_PKEY_EC, NID_sha384, 12, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"},
	{EVP_PKEY_EC, NID_sha512, 12, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"},
	{EVP_PKEY_ED25519, NID_undef, 7, "\x30\x05\x06\x03\x2b\x65\x70"},
};

const struct plain_key *plain_key_find(struct span spki)
{
	for (size_t i = 0; i < sizeof(plain_keys) / sizeof(plain_keys[0]); i++) {
		const struct plain_key *one = &plain_keys[i];

		if (spki.size == one->prefix_size + one->key_size &&
		    memcmp(spki.data, one->prefix, one->prefix_size) == 0 &&
		    (one->algorithm != EVP_PKEY_EC || spki.data[one->prefix_size] == POINT_UNCOMPRESSED))
			return one;
	}
	return NULL;
}

static bool take_key(struct span *rest, struct plain_csr *csr)
{
	struct span content;

	if (!der_take(rest, DER_SEQUENCE, &content, &csr->spki))
		return false;
	csr->kind = plain_key_find(csr->spki);
	if (csr->kind == NULL)
		return false;
	csr->key = span_of(csr->spki.data + csr->kind->prefix_size, csr->kind->key_size);
	return true;
}

static bool take_version_1(struct span *rest)
{
	struct span version;

	return der_take(rest, DER_INTEGER, &version, NULL) && version.size == 1 && version.data[0] == 0;
}

/* No number in it may be cut off, or begin with an idle byte. */
static bool take_object(struct span *rest)
{
	struct span object;
	bool is_begin = true;

	if (!der_take(rest, DER_OBJECT, &object, NULL))
		return false;
	for (size_t i = 0; i < object.size; i++) {
		if (is_begin && object.data[i] == 0x80)
			return false;
		is_begin = object.data[i] < 0x80;
	}
	return object.size > 0 && is_begin;
}

static bool take_plain_text(struct span *rest)
{
	struct span text;

	if (!der_take(rest, DER_UTF8, &text, NULL) && !der_take(rest, DER_PRINTABLE, &text, NULL) &&
	    !der_take(rest, DER_IA5, &text, NULL))
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	}
	return text.size > 0;
}

/* Of the subject, which says nothing here, no more is asked than that it is one. */
static bool take_plain_name(struct span *rest)
{
	struct span name, set, entry;

	if (!der_take(rest, DER_SEQUENCE, &name, NULL))
		return false;
	while (name.size > 0) {
		if (!der_take(&name, DER_SET, &set, NULL) || !der_take(&set, DER_SEQUENCE, &entry, NULL) ||
		    !take_object(&entry) || !take_plain_text(&entry) || entry.size > 0 || set.size > 0)
			return false;
	}
	return true;
}

/* Extensions that are asked for, and the like: ignored. */
static bool take_plain_attributes(struct span *rest)
{
	struct span attributes, attribute, values, value;

	if (!der_take(rest, DER_CONTEXT_0, &attributes, NULL))
		return false;
	while (attributes.size > 0) {
		if (!der_take(&attributes, DER_SEQUENCE, &attribute, NULL) || !take_object(&attribute) ||
		    !der_take(&attribute, DER_SET, &values, NULL) || !der_take(&values, DER_SEQUENCE, &value, NULL) ||
		    values.size > 0 || attribute.size > 0)
			return false;
	}
	return true;
}

static bool take_signature(struct span *rest, struct plain_csr *csr)
{
	struct span content, algorithm, bits;
	bool is_known = false;

	if (!der_take(rest, DER_SEQUENCE, &content, &algorithm) || !der_take(rest, DER_BIT_STRING, &bits, NULL))
		return false;
	for (size_t i = 0; i < sizeof(plain_signatures) / sizeof(plain_signatures[0]) && !is_known; i++) {
		const struct plain_signature *one = &plain_signatures[i];

		is_known = one->algorithm == csr->kind->algorithm &&
			   span_equal(algorithm, span_of(one->encoding, one->size));
		csr->digest = one->digest;
	}
	if (!is_known || bits.size < 2 || bits.data[0] != 0)
		return false;
	csr->signature = span_of(bits.data + 1, bits.size - 1);
	return true;
}

bool csr_read_plain(struct span der, struct plain_csr *ret_csr)
{
	struct plain_csr csr = {0};
	struct span rest = der, content, info;

	if (!der_is_framed(der) || !der_take(&rest, DER_SEQUENCE, &content, NULL) ||
	    !der_take(&content, DER_SEQUENCE, &info, &csr.signed_part) || !take_version_1(&info) ||
	    !take_plain_name(&info) || !take_key(&info, &csr) || !take_plain_attributes(&info) || info.size > 0 ||
	    !take_signature(&content, &csr) || content.size > 0)
		return false;
	*ret_csr = csr;
	return true;
}
