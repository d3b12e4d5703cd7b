#include "base/log.h"

#include "base/json.h"

#include "../cmocka_all.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int real_stderr;
static int captured;

static int capture(void **state)
{
	(void)state;
	FILE *file = tmpfile();
	if (!file)
		return -1;
	captured = dup(fileno(file));
	fclose(file);
	real_stderr = dup(STDERR_FILENO);
	fcntl(captured, F_SETFL, O_APPEND); /* threads write side by side */
	return dup2(captured, STDERR_FILENO) < 0 ? -1 : 0;
}

static int release(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(captured);
	return 0;
}

static char *captured_text(void)
{
	static char text[1 << 20];
	ssize_t size = pread(captured, text, sizeof(text) - 1, 0);
	assert_true(size >= 0);
	text[size] = '\0';
	return text;
}

static const char *member(json_t *line, const char *name)
{
	return json_string_value(json_object_get(line, name));
}

static json_t *last_line(void)
{
	char *text = captured_text();
	size_t length = strlen(text);
	assert_true(length > 0 && text[length - 1] == '\n');
	text[length - 1] = '\0';
	char *start = strrchr(text, '\n');
	json_t *json = NULL;
	assert_int_equal(json_read(span_of_text(start ? start + 1 : text), &json, NULL), RESULT_OK);
	return json;
}

static void line_is_one_json_object(void **state)
{
	(void)state;
	log_init("tester", LOG_INFO);
	log_event(LOG_WARN, "listening", "on %s\n\"%d\"", "gr\xc3\xbcn", 8443);
	JSON_CLEANUP json_t *line = last_line();
	assert_int_equal(json_object_size(line), 5);
	assert_int_equal(strlen(member(line, "at")), 24);
	assert_string_equal(member(line, "level"), "warn");
	assert_string_equal(member(line, "program"), "tester");
	assert_string_equal(member(line, "event"), "listening");
	assert_string_equal(member(line, "detail"), "on gr\xc3\xbcn\n\"8443\"");
}

static void lower_levels_are_dropped(void **state)
{
	(void)state;
	log_init("tester", LOG_WARN);
	log_event(LOG_INFO, "quiet", "x");
	assert_string_equal(captured_text(), "");
	log_event(LOG_ERROR, "loud", "%s", "");
	JSON_CLEANUP json_t *line = last_line();
	assert_string_equal(member(line, "event"), "loud");
	assert_null(json_object_get(line, "detail"));
}

static void secrets_do_not_get_out(void **state)
{
	(void)state;
	log_init("tester", LOG_INFO);
	log_event(LOG_INFO, "slip", "vin %s hash %s", "1M8GDM9AXKP042788",
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	JSON_CLEANUP json_t *line = last_line();
	assert_string_equal(member(line, "detail"), "vin [withheld] hash [withheld]");
	/* A VIN on the edge of the bound must not come out in part. */
	char filler[4000];
	for (size_t length = 2020; length < 2050; length++) {
		memset(filler, '-', length);
		filler[length - 1] = ' ';
		filler[length] = '\0';
		log_event(LOG_INFO, "edge", "%s%s", filler, "1M8GDM9AXKP042788");
	}
	assert_null(strstr(captured_text(), "1M"));
}

static void bytes_that_are_no_text_are_replaced(void **state)
{
	(void)state;
	log_init("tester", LOG_INFO);
	log_event(LOG_INFO, "odd", "%s",
		  "a\xff\xfe"
		  "b");
	JSON_CLEANUP json_t *line = last_line();
	assert_string_equal(member(line, "detail"), "a??b");
}

static void *log_many(void *argument)
{
	(void)argument;
	for (int i = 0; i < 200; i++)
		log_event(LOG_INFO, "many", "line %d", i);
	return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
	(void)state;
	log_init("tester", LOG_INFO);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	int count = 0;
	char *rest = captured_text();
	for (char *end = strchr(rest, '\n'); end; end = strchr(rest, '\n')) {
		JSON_CLEANUP json_t *line = NULL;
		assert_int_equal(json_read(span_of(rest, (size_t)(end - rest)), &line, NULL), RESULT_OK);
		rest = end + 1;
		count++;
	}
	assert_int_equal(count, 800);
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, capture, release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(line_is_one_json_object),  LOG_TEST(lower_levels_are_dropped),
		LOG_TEST(secrets_do_not_get_out),   LOG_TEST(bytes_that_are_no_text_are_replaced),
		LOG_TEST(threads_do_not_mix_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
