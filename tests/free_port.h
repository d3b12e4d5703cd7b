/* A port for a server that a test starts. */
#ifndef VINVEIL_TESTS_FREE_PORT_H
#define VINVEIL_TESTS_FREE_PORT_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* Nobody listens on it now, and the kernel gives it to no client. Drawn, so that tests that run at once have others. 0:
   there is none. */
static inline int free_port(void)
{
	for (int i = 0; i < 1000; i++) {
		unsigned drawn = 0;

		if (getrandom(&drawn, sizeof(drawn), 0) != (ssize_t)sizeof(drawn))
			return 0;
		const int port = 10240 + (int)(drawn % 22000);
		const struct sockaddr_in address = {
			.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
		int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool is_free = bind(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0;

		close(descriptor);
		if (is_free)
			return port;
	}
	return 0;
}

#endif
