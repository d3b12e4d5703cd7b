#include "programs/vinveil/dev_probe.h"

#include "base/json.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SIZE	4096
#define ANSWER_WAIT_SEC 2

static int connect_port(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval timeout = {.tv_sec = ANSWER_WAIT_SEC};
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -1;
	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
		return descriptor;
	close(descriptor);
	return -1;
}

bool probe_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >= (int)sizeof address.sun_path)
		return false;
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return false;
	bool answers = connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
	close(descriptor);
	return answers;
}

/* -1: somebody has it. By SO_REUSEADDR whoever is about to listen there still can, as long as this one does not listen.
 */
static int bind_port(uint16_t port)
{
	const int on = 1;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -1;
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
		return descriptor;
	close(descriptor);
	return -1;
}

bool probe_port(uint16_t port)
{
	int descriptor = bind_port(port);
	if (descriptor < 0)
		return true;
	close(descriptor);
	return false;
}

/* The whole answer to GET /readyz, head and body; false when there is none. */
static bool ask_ready(uint16_t port, char ret_answer[static ANSWER_SIZE])
{
	static const char request[] = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
	int descriptor = connect_port(port);
	if (descriptor < 0)
		return false;
	bool answers = send(descriptor, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1;
	size_t size = 0;
	for (ssize_t got = 1; answers && got > 0 && size<ANSWER_SIZE - 1; size += got> 0 ? (size_t)got : 0)
		got = recv(descriptor, ret_answer + size, ANSWER_SIZE - 1 - size, 0);
	ret_answer[size] = '\0';
	close(descriptor);
	return answers && size > 0;
}

bool probe_ready(uint16_t port)
{
	char answer[ANSWER_SIZE];
	return ask_ready(port, answer) && strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

bool probe_check(uint16_t port, const char *name)
{
	JSON_CLEANUP json_t *json = NULL;
	char answer[ANSWER_SIZE];
	if (!ask_ready(port, answer))
		return false;
	const char *body = strstr(answer, "\r\n\r\n");
	if (body == NULL || json_read(span_of_text(body + 4), &json, NULL) != RESULT_OK)
		return false;
	const char *check = json_string_value(json_object_get(json_object_get(json, "checks"), name));
	return check == NULL || strcmp(check, "ok") == 0;
}

bool port_is_free(uint16_t port)
{
	int descriptor = bind_port(port);
	bool is_free = descriptor >= 0 && listen(descriptor, 1) == 0;
	if (descriptor >= 0)
		close(descriptor);
	return is_free;
}
