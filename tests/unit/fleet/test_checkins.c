/* Agents that check in are sent what they lack, and nothing else. */
#include "../vehicle/support.h"
#include "adapters/fleetwise/agent_format.h"
#include "fleet/call.h"
#include "vehicle/signal_documents.h"

#include <stdio.h>
#include <stdlib.h>

#define PREFIX "$aws/iotfleetwise/vehicles/01020300-0000-0000-0000-000000000000/"

static const struct uuid vehicle = {{1, 2, 3}}, other_vehicle = {{1, 2, 4}};

struct world {
	struct fixture *fixture;
	struct fleet *fleet;
	struct agent_documents documents;
	struct arena arena; /* of the documents */
};

static const char description[] =
	"{\"name\": \"car\", \"signals\": [{\"name\": \"Vehicle.Speed\", \"interfaceId\": \"1\","
	" \"canSignal\": {\"messageId\": 1, \"startBit\": 0, \"length\": 8, \"factor\": %s}}],"
	" \"schemes\": [{\"name\": \"heartbeat\", \"periodMs\": 1000},"
	" {\"name\": \"short\", \"periodMs\": 2000, \"expiresAt\": \"2026-01-02T00:00:00Z\"}]}";

/* What the tenant's agents are to have; its bytes stay until the next one. */
static void load(struct world *world, const char *factor)
{
	SESSION_CLEANUP struct session session;
	JSON_CLEANUP json_t *json = NULL;
	char text[1024];

	snprintf(text, sizeof text, description, factor);
	assert_ok(json_read(span_of_text(text), &json, NULL));
	session_open(&session, world->fixture, &world->fixture->admin);
	assert_problem(signal_documents_load(&session.request, json, &world->documents), PROBLEM_NONE);
	arena_release(&world->arena);
	world->arena = session.arena;
	session.arena = (struct arena){0};
}

static int set_up_world(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	void *fixture;

	assert_non_null(world);
	assert_int_equal(set_up(&fixture), 0);
	world->fixture = fixture;
	world->fixture->platform.agent_format = fleetwise_agent_format();
	world->fleet = calloc(1, sizeof *world->fleet);
	assert_non_null(world->fleet);
	world->fleet->platform = &world->fixture->platform;
	*state = world;
	return 0;
}

static int tear_down_world(void **state)
{
	struct world *world = *state;
	void *fixture = world->fixture;

	arena_release(&world->arena);
	free(world->fleet);
	free(world);
	return tear_down(&fixture);
}

/* Checkin.document_sync_ids, up to the NULL. */
static struct span checkin_of(uint8_t *place, const char *const *sync_ids)
{
	size_t size = 0;

	for (; *sync_ids != NULL; sync_ids++) {
		size_t length = strlen(*sync_ids);
		place[size++] = 0x0a;
		place[size++] = (uint8_t)length;
		memcpy(place + size, *sync_ids, length);
		size += length;
	}
	return span_of(place, size);
}

static enum result take(struct world *world, const struct uuid *reference_id, const char *const *sync_ids)
{
	uint8_t place[1024];
	struct gateway_event event = {
		.kind = GATEWAY_CHECKIN, .reference_id = *reference_id, .payload = checkin_of(place, sync_ids)};

	fake_gateway_clear(&world->fixture->gateway);
	return checkins_take(world->fleet, &event, &world->fixture->tenant.id);
}

/* Ten seconds after the last one. */
static void take_later(struct world *world, const char *const *sync_ids)
{
	world->fixture->clock.now_ms += 10000;
	assert_ok(take(world, &vehicle, sync_ids));
}

static void assert_sent(struct world *world, size_t number, const char *topic, struct span payload)
{
	const struct fake_gateway_call *call =
		fake_gateway_call(&world->fixture->gateway, GATEWAY_TOLD_PUBLISH, number);

	assert_non_null(call);
	assert_true(uuid_equal(&call->reference_id, &vehicle));
	assert_string_equal(call->topic, topic);
	assert_true(span_equal(span_of(call->payload, call->payload_size), payload));
}

static size_t sent_count(const struct world *world)
{
	return fake_gateway_count(&world->fixture->gateway, GATEWAY_TOLD_PUBLISH);
}

/* The sync IDs of a scheme of the loaded document. */
static char *scheme_id(struct world *world, size_t place)
{
	struct agent_scheme *schemes;
	size_t count;

	assert_ok(fleetwise_agent_format()->ops->read_schemes(
		fleetwise_agent_format(), world->documents.collection_schemes.bytes, &world->arena, &schemes, &count));
	assert_true(place < count);
	return arena_copy_text(&world->arena, schemes[place].sync_id);
}

/* ---- tests ---------------------------------------------------------------------------------------------- */

static void test_without_documents_nothing_is_sent(void **state)
{
	assert_ok(take(*state, &vehicle, (const char *[]){"arn:aws:x", NULL}));
	assert_int_equal(sent_count(*state), 0);
}

static void test_another_tenants_documents_are_not_sent(void **state)
{
	struct world *world = *state;
	struct gateway_event event = {.kind = GATEWAY_CHECKIN, .reference_id = vehicle};

	load(world, "1");
	fake_gateway_clear(&world->fixture->gateway);
	assert_ok(checkins_take(world->fleet, &event, &world->fixture->other_tenant.id));
	assert_int_equal(sent_count(world), 0);
}

static void test_what_is_no_checkin_is_passed_over(void **state)
{
	struct world *world = *state;
	struct gateway_event event = {
		.kind = GATEWAY_CHECKIN, .reference_id = vehicle, .payload = span_of_text("\x0a\x7f")};

	load(world, "1");
	fake_gateway_clear(&world->fixture->gateway);
	assert_ok(checkins_take(world->fleet, &event, &world->fixture->tenant.id));
	assert_int_equal(sent_count(world), 0);
}

static void test_an_agent_without_anything_is_sent_both(void **state)
{
	struct world *world = *state;

	load(world, "1");
	take_later(world, (const char *[]){NULL});
	assert_int_equal(sent_count(world), 2);
	assert_sent(world, 0, PREFIX "decoder_manifests", world->documents.decoder_manifest.bytes);
	assert_sent(world, 1, PREFIX "collection_schemes", world->documents.collection_schemes.bytes);
	/* what it has from elsewhere is no reason to leave it without ours */
	take_later(world, (const char *[]){"arn:aws:manifest", "arn:aws:campaign", NULL});
	assert_int_equal(sent_count(world), 2);
}

static void test_an_agent_with_everything_is_sent_nothing(void **state)
{
	struct world *world = *state;

	load(world, "1");
	const char *manifest = world->documents.decoder_manifest.sync_id;
	char *heartbeat = scheme_id(world, 0), *shorter = scheme_id(world, 1);
	take_later(world, (const char *[]){heartbeat, shorter, manifest, NULL});
	assert_int_equal(sent_count(world), 0);
	take_later(world, (const char *[]){"a-state-template", heartbeat, shorter, manifest, NULL});
	assert_int_equal(sent_count(world), 0);
	take_later(world, (const char *[]){heartbeat, manifest, NULL});
	assert_int_equal(sent_count(world), 1);
	assert_sent(world, 0, PREFIX "collection_schemes", world->documents.collection_schemes.bytes);
	take_later(world, (const char *[]){heartbeat, shorter, NULL});
	assert_int_equal(sent_count(world), 1);
	assert_sent(world, 0, PREFIX "decoder_manifests", world->documents.decoder_manifest.bytes);
}

static void test_an_expired_scheme_is_not_missed(void **state)
{
	struct world *world = *state;

	load(world, "1");
	world->fixture->clock.now_ms += INT64_C(86400000);
	take_later(world, (const char *[]){scheme_id(world, 0), world->documents.decoder_manifest.sync_id, NULL});
	assert_int_equal(sent_count(world), 0);
}

static void test_a_new_loading_replaces_what_agents_have(void **state)
{
	struct world *world = *state;

	load(world, "1");
	char *heartbeat = scheme_id(world, 0), *shorter = scheme_id(world, 1);
	const char *had[] = {strdup(heartbeat), strdup(shorter), strdup(world->documents.decoder_manifest.sync_id),
			     NULL};
	load(world, "2");
	take_later(world, had);
	assert_int_equal(sent_count(world), 2);
	assert_sent(world, 0, PREFIX "decoder_manifests", world->documents.decoder_manifest.bytes);
	assert_sent(world, 1, PREFIX "collection_schemes", world->documents.collection_schemes.bytes);
	/* one that still has an old scheme beside the new ones is sent the list that leaves it out */
	const char *new_ones[] = {scheme_id(world, 0), scheme_id(world, 1), world->documents.decoder_manifest.sync_id,
				  had[0], NULL};
	take_later(world, new_ones);
	assert_int_equal(sent_count(world), 1);
	assert_sent(world, 0, PREFIX "collection_schemes", world->documents.collection_schemes.bytes);
	/* and back again: the first one counts as new */
	load(world, "1");
	take_later(world, had);
	assert_int_equal(sent_count(world), 0);
	for (size_t i = 0; i < 3; i++)
		free((char *)had[i]);
}

static void test_a_vehicle_is_heard_every_ten_seconds(void **state)
{
	struct world *world = *state;

	load(world, "1");
	take_later(world, (const char *[]){NULL});
	assert_int_equal(sent_count(world), 2);
	world->fixture->clock.now_ms += 9000;
	assert_ok(take(world, &vehicle, (const char *[]){NULL}));
	assert_int_equal(sent_count(world), 0);
	assert_ok(take(world, &other_vehicle, (const char *[]){NULL}));
	assert_int_equal(sent_count(world), 2);
	world->fixture->clock.now_ms += 1000;
	assert_ok(take(world, &vehicle, (const char *[]){NULL}));
	assert_int_equal(sent_count(world), 2);
	/* a clock that is set back must not silence anybody */
	world->fixture->clock.now_ms -= 3600000;
	assert_ok(take(world, &vehicle, (const char *[]){NULL}));
	assert_int_equal(sent_count(world), 2);
}

static enum result registry_away(struct registry *registry, const struct tenant_id *tenant,
				 enum signal_document_kind kind, bool with_bytes, struct arena *arena,
				 struct signal_document *ret_document, struct note *note)
{
	(void)registry, (void)tenant, (void)kind, (void)with_bytes, (void)arena, (void)ret_document, (void)note;
	return RESULT_UNAVAILABLE;
}

static enum result registry_corrupt(struct registry *registry, const struct tenant_id *tenant,
				    enum signal_document_kind kind, bool with_bytes, struct arena *arena,
				    struct signal_document *ret_document, struct note *note)
{
	(void)registry, (void)tenant, (void)kind, (void)with_bytes, (void)arena, (void)ret_document, (void)note;
	return RESULT_CORRUPT;
}

static void test_when_the_registry_is_away_it_comes_again(void **state)
{
	struct world *world = *state;
	static const struct registry_ops away_ops = {.get_signal_document = registry_away};
	static const struct registry_ops corrupt_ops = {.get_signal_document = registry_corrupt};
	struct registry away = {&away_ops}, corrupt = {&corrupt_ops};
	struct registry *registry = world->fixture->platform.registry;

	load(world, "1");
	world->fixture->platform.registry = &away;
	assert_result(take(world, &vehicle, (const char *[]){NULL}), RESULT_UNAVAILABLE);
	world->fixture->platform.registry = registry;
	assert_ok(take(world, &vehicle, (const char *[]){NULL}));
	assert_int_equal(sent_count(world), 2);
	/* what will not get better keeps nobody waiting */
	world->fixture->platform.registry = &corrupt;
	world->fixture->clock.now_ms += 10000;
	assert_ok(take(world, &vehicle, (const char *[]){NULL}));
	world->fixture->platform.registry = registry;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_documents_nothing_is_sent, set_up_world, tear_down_world),
		cmocka_unit_test_setup_teardown(test_another_tenants_documents_are_not_sent, set_up_world,
						tear_down_world),
		cmocka_unit_test_setup_teardown(test_what_is_no_checkin_is_passed_over, set_up_world, tear_down_world),
		cmocka_unit_test_setup_teardown(test_an_agent_without_anything_is_sent_both, set_up_world,
						tear_down_world),
		cmocka_unit_test_setup_teardown(test_an_agent_with_everything_is_sent_nothing, set_up_world,
						tear_down_world),
		cmocka_unit_test_setup_teardown(test_an_expired_scheme_is_not_missed, set_up_world, tear_down_world),
		cmocka_unit_test_setup_teardown(test_a_new_loading_replaces_what_agents_have, set_up_world,
						tear_down_world),
		cmocka_unit_test_setup_teardown(test_a_vehicle_is_heard_every_ten_seconds, set_up_world,
						tear_down_world),
		cmocka_unit_test_setup_teardown(test_when_the_registry_is_away_it_comes_again, set_up_world,
						tear_down_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
