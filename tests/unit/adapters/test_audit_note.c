/* Signed notes, verifier keys and checkpoints, against the specifications' own examples and much that is wrong. */
#include "audit_support.h"

#include "adapters/audit/leaf.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

/* C2SP signed-note, "Example". */
#define EXAMPLE_KEY "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
#define EXAMPLE_NOTE                      \
	"This is an example message.\n\n" \
	"\xe2\x80\x94 example.com/foo "   \
	"Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"

#define SIGNATURE "\xe2\x80\x94 a.test AAAAAAECAwQ=\n"

static struct verifier_key example_key(void)
{
	struct verifier_key key;

	assert_int_equal(verifier_key_parse(span_of_text(EXAMPLE_KEY), &key, NULL), RESULT_OK);
	return key;
}

static void test_the_specifications_example(void **state)
{
	struct verifier_key key = example_key(), made;
	BUF_CLEANUP struct buf text = {0};
	struct signed_note note;

	(void)state;
	assert_string_equal(key.name, "example.com/foo");
	assert_int_equal(key.id, 0x530d903a);
	assert_int_equal(verifier_key_format(&key, &text), RESULT_OK);
	assert_string_equal((char *)text.data, EXAMPLE_KEY);
	assert_int_equal(verifier_key_make("example.com/foo", key.public_key, &made), RESULT_OK);
	assert_memory_equal(&made, &key, sizeof(key));
	assert_int_equal(signed_note_parse(span_of_text(EXAMPLE_NOTE), &note, NULL), RESULT_OK);
	assert_true(span_is_text(note.text, "This is an example message.\n"));
	assert_int_equal(note.signature_count, 1);
	assert_int_equal(signed_note_verify(&note, &key, NULL), RESULT_OK);
}

static void test_no_byte_of_a_note_can_be_another(void **state)
{
	struct verifier_key key = example_key();
	char bytes[] = EXAMPLE_NOTE;

	(void)state;
	for (size_t at = 0; at < sizeof(bytes) - 1; at++) {
		for (int bit = 0; bit < 8; bit++) {
			struct signed_note note;

			bytes[at] ^= (char)(1 << bit);
			assert_true(signed_note_parse(span_of(bytes, sizeof(bytes) - 1), &note, NULL) != RESULT_OK ||
				    signed_note_verify(&note, &key, NULL) != RESULT_OK);
			bytes[at] ^= (char)(1 << bit);
		}
	}
}

static void test_notes_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"\n\n",
		"text\n",
		"text\n\n",
		"text" SIGNATURE,
		"text\n" SIGNATURE,
		"text\n\n" SIGNATURE "x",
		"text\n\n" SIGNATURE "\n",
		"text\n\n- a.test AAAAAAECAwQ=\n",
		"text\n\n\xe2\x80\x94  AAAAAAECAwQ=\n",
		"text\n\n\xe2\x80\x94 a.test\n",
		"text\n\n\xe2\x80\x94 a.test \n",
		"text\n\n\xe2\x80\x94 a+b AAAAAAECAwQ=\n",
		"text\n\n\xe2\x80\x94 a\xc2\xa0z AAAAAAECAwQ=\n",
		"text\n\n\xe2\x80\x94 a\xe3\x80\x80z AAAAAAECAwQ=\n",
		"text\n\n\xe2\x80\x94 a.test AAAAAA==\n",     /* an ID and no signature */
		"text\n\n\xe2\x80\x94 a.test AAAAAAECAwR=\n", /* stray bits */
		"text\n\n\xe2\x80\x94 a.test AAAAAAECAwQ\n",
		"text\n\n\xe2\x80\x94 a.test AAAA AAECAwQ=\n",
		"text\r\n\n" SIGNATURE,
		"te\txt\n\n" SIGNATURE,
		"te\xffxt\n\n" SIGNATURE,
		"text\n\n" SIGNATURE "\xe2\x80\x94 a.test AAAAAAECAwQ=",
	};
	struct signed_note note;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct note why = {0};

		if (signed_note_parse(span_of_text(bad[i]), &note, &why) != RESULT_INVALID)
			fail_msg("note %zu was taken", i);
		assert_true(why.text[0] != '\0');
	}
	assert_int_equal(signed_note_parse(span_of("a\0b\n\n" SIGNATURE, 5 + sizeof(SIGNATURE) - 1), &note, NULL),
			 RESULT_INVALID);
}

static void test_notes_with_much_in_them(void **state)
{
	char *bytes = malloc(SIGNED_NOTE_SIZE_MAX + 100);
	static const char start[] = "first\n\nthird\n\n";
	size_t size = sizeof(start) - 1;
	struct signed_note note;

	(void)state;
	assert_non_null(bytes);
	memcpy(bytes, start, size);
	for (int i = 0; i < SIGNED_NOTE_SIGNATURES_MAX; i++) {
		memcpy(bytes + size, SIGNATURE, sizeof(SIGNATURE) - 1);
		size += sizeof(SIGNATURE) - 1;
	}
	assert_int_equal(signed_note_parse(span_of(bytes, size), &note, NULL), RESULT_OK);
	assert_int_equal(note.signature_count, SIGNED_NOTE_SIGNATURES_MAX);
	assert_true(span_is_text(note.text, "first\n\nthird\n"));
	memcpy(bytes + size, SIGNATURE, sizeof(SIGNATURE) - 1);
	size += sizeof(SIGNATURE) - 1;
	assert_int_equal(signed_note_parse(span_of(bytes, size), &note, NULL), RESULT_INVALID);
	memset(bytes, 'a', SIGNED_NOTE_SIZE_MAX + 1);
	assert_int_equal(signed_note_parse(span_of(bytes, SIGNED_NOTE_SIZE_MAX + 1), &note, NULL), RESULT_INVALID);
	free(bytes);
}

/* Signatures of others are passed over, ours must be there and hold. */
static void test_other_signatures(void **state)
{
	struct verifier_key key = example_key();
	char bytes[1024];
	struct signed_note note;

	(void)state;
	snprintf(bytes, sizeof(bytes), "%s%s", EXAMPLE_NOTE, SIGNATURE);
	assert_int_equal(signed_note_parse(span_of_text(bytes), &note, NULL), RESULT_OK);
	assert_int_equal(signed_note_verify(&note, &key, NULL), RESULT_OK);
	/* The same name under another ID is another key. */
	snprintf(bytes, sizeof(bytes), "%s\xe2\x80\x94 example.com/foo AAAAAAECAwQ=\n", EXAMPLE_NOTE);
	assert_int_equal(signed_note_parse(span_of_text(bytes), &note, NULL), RESULT_OK);
	assert_int_equal(signed_note_verify(&note, &key, NULL), RESULT_OK);
	/* Our name and ID over rubbish condemns the note. */
	snprintf(bytes, sizeof(bytes), "%s\xe2\x80\x94 example.com/foo Uw2QOgECAwQ=\n", EXAMPLE_NOTE);
	assert_int_equal(signed_note_parse(span_of_text(bytes), &note, NULL), RESULT_OK);
	assert_int_equal(signed_note_verify(&note, &key, NULL), RESULT_DENIED);
	snprintf(bytes, sizeof(bytes), "text\n\n%s", SIGNATURE);
	assert_int_equal(signed_note_parse(span_of_text(bytes), &note, NULL), RESULT_OK);
	assert_int_equal(signed_note_verify(&note, &key, NULL), RESULT_DENIED);
}

static void test_verifier_keys_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"example.com/foo",
		"example.com/foo+530d903a",
		"example.com/foo+530d903a+",
		"+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
		"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2kAA==",
		"example.com /foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
	};
	struct verifier_key key;
	char name[VERIFIER_KEY_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (verifier_key_parse(span_of_text(bad[i]), &key, NULL) != RESULT_INVALID)
			fail_msg("key %zu was taken", i);
	memset(name, 'a', sizeof(name));
	name[VERIFIER_KEY_NAME_MAX + 1] = '\0';
	assert_int_equal(verifier_key_make(name, (uint8_t[32]){0}, &key), RESULT_INVALID);
	name[VERIFIER_KEY_NAME_MAX] = '\0';
	assert_int_equal(verifier_key_make(name, (uint8_t[32]){0}, &key), RESULT_OK);
}

#define ROOT "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="

static void test_checkpoints(void **state)
{
	static const char *const bad[] = {
		"",
		"\n1\n" ROOT "\n",
		"o\n1\n",
		"o\n1\n" ROOT,
		"o\n01\n" ROOT "\n",
		"o\n-1\n" ROOT "\n",
		"o\n+1\n" ROOT "\n",
		"o\n1 \n" ROOT "\n",
		"o\n\n" ROOT "\n",
		"o\n9223372036854775808\n" ROOT "\n",
		"o\n99999999999999999999\n" ROOT "\n",
		"o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n",
		"o\n1\n" ROOT "\nextension\n",
		"o\n1\n" ROOT "\n\n",
		"o\n1\n*sUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
	};
	struct checkpoint checkpoint;

	(void)state;
	assert_int_equal(
		checkpoint_parse(span_of_text("example.com/behind-the-sofa\n20852163\n" ROOT "\n"), &checkpoint, NULL),
		RESULT_OK);
	assert_true(span_is_text(checkpoint.origin, "example.com/behind-the-sofa"));
	assert_int_equal(checkpoint.size, 20852163);
	assert_int_equal(checkpoint.root.bytes[0], 0x0a);
	assert_int_equal(checkpoint_parse(span_of_text("o\n0\n" ROOT "\n"), &checkpoint, NULL), RESULT_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (checkpoint_parse(span_of_text(bad[i]), &checkpoint, NULL) != RESULT_INVALID)
			fail_msg("checkpoint %zu was taken", i);
}

/* ---- leaves -------------------------------------------------------------------------------------------------------
 */

static void test_a_leafs_members_are_found(void **state)
{
	static const char leaf[] = " {\"leafId\" : \"L\",\"at\":\"T\",\"x\":{\"actor\":\"inner\",\"y\":[1,{\"at\":2}]},"
				   "\"actor\":\"A\",\"tenantId\":\"D\",\"action\":\"C\",\"outcome\":\"O\","
				   "\"referenceIds\":[\"p\", \"q\"],\"referenceId\":\"R\\n\",\"status\":-1.5e+3} ";
	struct leaf_facts facts;

	(void)state;
	assert_int_equal(leaf_scan(span_of_text(leaf), &facts), RESULT_OK);
	assert_true(span_is_text(facts.leaf_id, "L"));
	assert_true(span_is_text(facts.at, "T"));
	assert_true(span_is_text(facts.actor, "A"));
	assert_true(span_is_text(facts.tenant, "D"));
	assert_true(span_is_text(facts.action, "C"));
	assert_true(span_is_text(facts.outcome, "O"));
	assert_true(span_is_text(facts.reference_ids, "[\"p\", \"q\"]"));
	assert_true(span_is_text(facts.reference_id, "R\\n"));
	assert_int_equal(leaf_scan(span_of_text("{\"actor\":\"A\",\"actor\":\"B\"}"), &facts), RESULT_INVALID);
}

/* base/json is the judge of what is JSON. */
static void assert_same_judgement(struct span text)
{
	struct leaf_facts facts;
	JSON_CLEANUP json_t *json = NULL;
	bool is_object = json_read(text, &json, NULL) == RESULT_OK && json_is_object(json);

	if ((leaf_scan(text, &facts) == RESULT_OK) != is_object)
		fail_msg("%.*s: %s by base/json", (int)text.size, text.data, is_object ? "taken" : "refused");
}

static void test_scanning_agrees_with_the_parser(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{ }",
		"[]",
		"1",
		"\"a\"",
		"",
		" ",
		"{",
		"}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{,}",
		"{\"a\":1 \"b\":2}",
		"{\"a\":1,\"b\":[1,2,]}",
		"{\"a\":[]}",
		"{\"a\":[ ]}",
		"{\"a\":[[[]]]}",
		"{\"a\":01}",
		"{\"a\":-}",
		"{\"a\":-0}",
		"{\"a\":0.}",
		"{\"a\":.5}",
		"{\"a\":1e}",
		"{\"a\":1e+}",
		"{\"a\":1E-5}",
		"{\"a\":+1}",
		"{\"a\":truE}",
		"{\"a\":true}",
		"{\"a\":nul}",
		"{\"a\":null}",
		"{\"a\":\"\\u00e9\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\ud83d\\ude00\"}",
		"{\"a\":\"\\udc00\"}",
		"{\"a\":\"\\ud800\\u0041\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\\"}",
		"{\"a\":\"\t\"}",
		"{\"a\":\"\xc3\xa9\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"}",
		"{\"a\":1}x",
		"{\"a\":1} ",
		"{a:1}",
		"{'a':1}",
		"{\"a\":NaN}",
		"{\"a\" : { \"b\" : [ 1 , 2 ] } }",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_same_judgement(span_of_text(texts[i]));
}

/* A leaf with any one byte changed or cut off: taken and refused alike. */
static void test_scanning_agrees_on_damaged_leaves(void **state)
{
	static const char leaf[] =
		"{\"leafId\":\"0\",\"nn\":-10.5e2,\"bbb\":[true,null,{\"c\":\"\\u00e9\\n\"}],\"\":0}";
	char changed[sizeof(leaf)];

	(void)state;
	for (size_t at = 0; at < sizeof(leaf) - 1; at++) {
		for (int byte = 0; byte < 256; byte++) {
			memcpy(changed, leaf, sizeof(leaf));
			changed[at] = (char)byte;
			assert_same_judgement(span_of(changed, sizeof(leaf) - 1));
		}
		assert_same_judgement(span_of(leaf, at));
	}
}

static void test_depth_is_bounded(void **state)
{
	char text[100] = "{\"a\":";
	struct leaf_facts facts;

	(void)state;
	memset(text + 5, '[', 30);
	memset(text + 35, ']', 30);
	text[65] = '}';
	assert_int_equal(leaf_scan(span_of(text, 66), &facts), RESULT_INVALID);
}

static void test_index_records(void **state)
{
	struct index_record record = {.offset = 0xfedcba98,
				      .length = 16384,
				      .outcome = 7,
				      .flags = INDEX_WRITTEN | INDEX_BATCH,
				      .at_ms = 1767225600123,
				      .tenant = 1,
				      .actor = 2,
				      .action = 3,
				      .reference_id = 0xffffffff};
	struct index_record back;
	uint8_t bytes[INDEX_RECORD_SIZE];

	(void)state;
	index_record_format(&record, bytes);
	assert_int_equal(bytes[0], 0xfe); /* big-endian */
	assert_int_equal(bytes[4], 0x40);
	index_record_parse(bytes, &back);
	assert_memory_equal(&record, &back, sizeof(record));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_specifications_example),
		cmocka_unit_test(test_no_byte_of_a_note_can_be_another),
		cmocka_unit_test(test_notes_that_are_none),
		cmocka_unit_test(test_notes_with_much_in_them),
		cmocka_unit_test(test_other_signatures),
		cmocka_unit_test(test_verifier_keys_that_are_none),
		cmocka_unit_test(test_checkpoints),
		cmocka_unit_test(test_a_leafs_members_are_found),
		cmocka_unit_test(test_scanning_agrees_with_the_parser),
		cmocka_unit_test(test_scanning_agrees_on_damaged_leaves),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_index_records),
	};

	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	json_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
