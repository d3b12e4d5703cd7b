#include "api/routes.h"

#include "../cmocka_all.h"
#include "base/json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern const unsigned char openapi_json[];
extern const size_t openapi_json_size;

static enum result match(enum http_method method, const char *path, const struct route **ret_route)
{
	struct span parameters[ROUTE_PARAMETERS_MAX];
	return route_match(ROUTE_API, method, span_of_text(path), ret_route, parameters);
}

static void no_two_rows_take_the_same_request(void **state)
{
	(void)state;
	struct span ignored[ROUTE_PARAMETERS_MAX];
	for (size_t i = 0; i < route_count; i++)
		for (size_t j = 0; j < route_count; j++) {
			if (i == j || routes[i].method != routes[j].method || routes[i].listener != routes[j].listener)
				continue;
			/* A pattern is a path, too: its parameters are segments like any other. */
			assert_false(
				route_pattern_matches(routes[i].pattern, span_of_text(routes[j].pattern), ignored));
		}
}

static void every_row_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &routes[i];
		assert_non_null(route->handler);
		assert_non_null(route->action);
		assert_true(route->listener == ROUTE_API || route->caller == ROUTE_ANYBODY);
		assert_int_equal(route->scopes != 0, route->caller == ROUTE_CLIENT);
		/* Who is known later is asked for on the pool, and has no row of clients for an Idempotency-Key. */
		if (route->caller == ROUTE_DEVICE || route->caller == ROUTE_CLAIM)
			assert_true(route->place == ROUTE_POOL && !route->is_idempotent);
		assert_true(route->body == ROUTE_BODY_NONE || route->body == ROUTE_BODY_NDJSON ||
			    route->body_size_max > 0);
		assert_true(!route->is_idempotent || route->method == HTTP_POST);
	}
}

static void paths_match_whole_segments(void **state)
{
	(void)state;
	const struct route *route;
	assert_int_equal(match(HTTP_GET, "/v1/vehicles/7d444840-9dc0-41d1-b245-5ffdce74fad2", &route), RESULT_OK);
	assert_string_equal(route->action, "vehicle.read");
	assert_int_equal(match(HTTP_GET, "/v1/vehicles/x/history", &route), RESULT_OK);
	assert_string_equal(route->action, "vehicle.history");
	assert_int_equal(match(HTTP_HEAD, "/v1/vehicles", &route), RESULT_OK);
	assert_int_equal(match(HTTP_GET, "/v1/audit/log/tile/entries/x001/000.p/3", &route), RESULT_OK);
	static const char *const none[] = {"",
					   "/",
					   "/v1",
					   "/v1/vehicles/",
					   "/v1/vehicles/x/",
					   "/v1/vehicles/x/y",
					   "/v1/vehicles//history",
					   "//v1/vehicles",
					   "/v1/vehicle",
					   "/V1/vehicles",
					   "/v1/vehicles/%61",
					   "/v1/audit/log/tile/",
					   "/healthz",
					   "/metrics",
					   "/readyz",
					   "/crl/device.crl",
					   "/.well-known/est",
					   "/.well-known/est/",
					   "/.well-known/est/label/cacerts",
					   "/.well-known/est/cacerts/",
					   "/.well-known/est/csrattrs"};
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		assert_int_equal(match(HTTP_GET, none[i], &route), RESULT_ABSENT);
}

static void another_method_is_told_what_there_is(void **state)
{
	(void)state;
	const struct route *route;
	char allowed[64];
	assert_int_equal(match(HTTP_PUT, "/v1/vehicles/x", &route), RESULT_DENIED);
	assert_int_equal(match(HTTP_OPTIONS, "/v1/vehicles", &route), RESULT_DENIED);
	route_allowed_methods(ROUTE_API, span_of_text("/v1/vehicles/x"), allowed, sizeof allowed);
	assert_string_equal(allowed, "GET, HEAD, PATCH");
	route_allowed_methods(ROUTE_API, span_of_text("/v1/vehicles"), allowed, sizeof allowed);
	assert_string_equal(allowed, "POST, GET, HEAD");
}

static void operations_serve_nothing_of_the_api(void **state)
{
	(void)state;
	const struct route *route;
	struct span parameters[ROUTE_PARAMETERS_MAX];
	assert_int_equal(route_match(ROUTE_OPERATIONS, HTTP_GET, span_of_text("/healthz"), &route, parameters),
			 RESULT_OK);
	assert_int_equal(route_match(ROUTE_OPERATIONS, HTTP_GET, span_of_text("/v1/vehicles"), &route, parameters),
			 RESULT_ABSENT);
	assert_int_equal(route_match(ROUTE_OPERATIONS, HTTP_GET, span_of_text("/openapi.json"), &route, parameters),
			 RESULT_ABSENT);
}

/* ---- the document ----------------------------------------------------------------------------------- */

static json_t *document(void)
{
	json_t *json;
	assert_int_equal(json_read(span_of(openapi_json, openapi_json_size), &json, NULL), RESULT_OK);
	return json;
}

static void lower_case(const char *text, char *ret_text)
{
	for (; *text != '\0'; text++)
		*ret_text++ = (char)tolower(*text);
	*ret_text = '\0';
}

/* "{tile*}" is "{tile}" there: OpenAPI has no word for the rest of a path. */
static void documented_path(const char *pattern, char *ret_path)
{
	for (; *pattern != '\0'; pattern++)
		if (*pattern != '*')
			*ret_path++ = *pattern;
	*ret_path = '\0';
}

static const json_t *operation_of(const json_t *root, const struct route *route)
{
	char path[128], method[16];
	documented_path(route->pattern, path);
	lower_case(http_method_name(route->method), method);
	return json_object_get(json_object_get(json_object_get(root, "paths"), path), method);
}

static void every_row_is_documented(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *root = document();
	for (size_t i = 0; i < route_count; i++) {
		if (routes[i].listener != ROUTE_API)
			continue;
		const json_t *operation = operation_of(root, &routes[i]);
		if (operation == NULL)
			fail_msg("%s is not in openapi.json", routes[i].pattern);
		const json_t *security = json_object_get(operation, "security");
		assert_int_equal(json_array_size(security), routes[i].caller == ROUTE_ANYBODY ? 0 : 1);
		assert_int_equal(json_object_get(operation, "requestBody") != NULL,
				 routes[i].body != ROUTE_BODY_NONE && routes[i].body != ROUTE_BODY_EMPTY);
	}
}

static void callers_are_documented_as_they_are(void **state)
{
	static const char *const schemes[] = {
		[ROUTE_CLIENT] = "clientCertificate",
		[ROUTE_DEVICE] = "deviceCertificate",
		[ROUTE_CLAIM] = "claimCertificate",
	};
	(void)state;
	JSON_CLEANUP json_t *root = document();
	for (size_t i = 0; i < route_count; i++) {
		if (routes[i].listener != ROUTE_API || routes[i].caller == ROUTE_ANYBODY)
			continue;
		const json_t *security = json_object_get(operation_of(root, &routes[i]), "security");
		assert_non_null(json_object_get(json_array_get(security, 0), schemes[routes[i].caller]));
	}
}

static uint32_t documented_scopes(const json_t *operation)
{
	const json_t *names =
		json_object_get(json_array_get(json_object_get(operation, "security"), 0), "clientCertificate");
	uint32_t scopes = 0;
	for (size_t i = 0; i < json_array_size(names); i++) {
		const json_t *name = json_array_get(names, i);
		enum scope scope;
		assert_int_equal(scope_parse(span_of(json_string_value(name), json_string_length(name)), &scope),
				 RESULT_OK);
		scopes |= scope;
	}
	return scopes;
}

static void scopes_are_documented_as_they_are(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *root = document();
	for (size_t i = 0; i < route_count; i++)
		if (routes[i].listener == ROUTE_API)
			assert_int_equal(documented_scopes(operation_of(root, &routes[i])), routes[i].scopes);
}

static bool has_row(const char *path, const char *method)
{
	for (size_t i = 0; i < route_count; i++) {
		char row_path[128], row_method[16];
		documented_path(routes[i].pattern, row_path);
		lower_case(http_method_name(routes[i].method), row_method);
		if (routes[i].listener == ROUTE_API && strcmp(row_path, path) == 0 && strcmp(row_method, method) == 0)
			return true;
	}
	return false;
}

static void nothing_else_is_documented(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *root = document();
	const char *path, *method;
	json_t *item, *operation;
	json_object_foreach(json_object_get(root, "paths"), path, item)
		json_object_foreach(item, method, operation) if (!has_row(path, method))
			fail_msg("openapi.json documents %s %s, which is no route", method, path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_rows_take_the_same_request),
		cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(paths_match_whole_segments),
		cmocka_unit_test(another_method_is_told_what_there_is),
		cmocka_unit_test(operations_serve_nothing_of_the_api),
		cmocka_unit_test(every_row_is_documented),
		cmocka_unit_test(callers_are_documented_as_they_are),
		cmocka_unit_test(scopes_are_documented_as_they_are),
		cmocka_unit_test(nothing_else_is_documented),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
