/* How `vinveil dev` finds out whether a process answers. Each blocks for some seconds at most. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_DEV_PROBE_H
#define VINVEIL_PROGRAMS_VINVEIL_DEV_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Somebody accepts on the UNIX socket. */
bool probe_socket(const char *path);
/* Somebody listens on the loopback port. Nobody is called: a broker would log the end of such a call as an error. */
bool probe_port(uint16_t port);
/* GET /readyz on the loopback port says 200. */
bool probe_ready(uint16_t port);
/* And its checks do not say that this one is away; a check that it does not know counts as good. */
bool probe_check(uint16_t port, const char *name);
/* Nobody listens on the loopback port. */
bool port_is_free(uint16_t port);

#endif
