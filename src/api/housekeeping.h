/*
 * What goes on beside the requests, on one thread: each second the coalesced refusals go to the audit log and the CRL
 * is signed if that is due, and commands whose time is over are marked; now and then the clients are read anew. When
 * the device gateway's connection is new, commands that wait are handed to it again.
 */
#ifndef VINVEIL_API_HOUSEKEEPING_H
#define VINVEIL_API_HOUSEKEEPING_H

#include "api/call.h"

struct housekeeping;

MUST_USE enum result housekeeping_open(struct api *api, struct housekeeping **ret_housekeeping);
/* Runs it once more, so that nothing counted is lost; NULL is allowed. */
void housekeeping_close(struct housekeeping *housekeeping);
/* Something is due now. Never blocks. */
void housekeeping_wake(struct housekeeping *housekeeping);

#endif
