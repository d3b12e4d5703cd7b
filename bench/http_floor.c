/*
 * The transport by itself: every request gets 200 and some 60 bytes, from the loop. What script/bench compares
 * with nginx's `return 200` on the same core, which shows what HTTP and TLS cost before anything is done.
 *
 *   http_floor PORT [CERTIFICATE KEY]        serves on 127.0.0.1 until SIGINT or SIGTERM
 */
#include "base/text.h"
#include "http/http.h"

#include <signal.h>
#include <stdio.h>

static const char answer[] = "{\"referenceId\":\"0b9d4a52-8f1e-4c7b-9d3a-2f6e5c1b7a90\"}     \n";

static enum http_body_mode on_head(void *context, struct http_exchange *exchange)
{
	(void)context;
	exchange->body_size_max = 65536;
	return HTTP_BODY_COLLECT;
}

static void on_request(void *context, struct http_exchange *exchange)
{
	(void)context;
	exchange->response.status = 200;
	exchange->response.static_body = span_of_text(answer);
	if (http_response_header(&exchange->response, "Content-Type", "application/json") != RESULT_OK)
		exchange->response.close = true;
	http_respond(exchange);
}

static void on_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	(void)context;
	(void)reason;
	exchange->response.status = status;
}

static void on_body_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	on_refused(context, exchange, status, reason);
	http_respond(exchange);
}

static int serve(struct http_server_config *config)
{
	struct http_server *server = NULL;
	struct note note = {0};
	if (http_server_open(config, &server, &note) != RESULT_OK) {
		fprintf(stderr, "http_floor: %s\n", note.text);
		return 1;
	}
	sigset_t wanted;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGTERM);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	printf("ready on port %u\n", (unsigned)http_server_port(server, 0));
	fflush(stdout);
	int number;
	(void)sigwait(&wanted, &number);
	http_server_close(server, 1000);
	return 0;
}

int main(int argument_count, char **arguments)
{
	static const struct http_application application = {.on_head = on_head,
							    .on_request = on_request,
							    .on_refused = on_refused,
							    .on_body_refused = on_body_refused};
	struct http_server_config config;
	http_server_config_defaults(&config);
	config.application = &application;
	config.listener_count = 1;
	config.listeners[0] = (struct http_listener){.address = "127.0.0.1"};
	uint64_t port;
	if ((argument_count != 2 && argument_count != 4) ||
	    text_parse_u64(span_of_text(arguments[1]), UINT16_MAX, &port) != RESULT_OK) {
		fprintf(stderr, "usage: http_floor PORT [CERTIFICATE KEY]\n");
		return 2;
	}
	config.listeners[0].port = (uint16_t)port;
	struct tls_server *tls = NULL;
	struct note note = {0};
	if (argument_count == 4) {
		struct tls_server_config tls_config = {.certificate_path = arguments[2], .key_path = arguments[3]};
		if (tls_server_open(&tls_config, &tls, &note) != RESULT_OK) {
			fprintf(stderr, "http_floor: %s\n", note.text);
			return 1;
		}
		config.listeners[0].tls = tls;
	}
	int status = serve(&config);
	tls_server_close(tls);
	return status;
}
