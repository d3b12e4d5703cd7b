/*
 * Administration of client applications. An administrator acts within his own tenant, one with the platform scope
 * in any. Nobody grants a scope that he does not hold, nor changes a client that holds one he does not (he
 * could register a certificate of his own there), nor suspends himself.
 */
#ifndef VINVEIL_VEHICLE_CLIENTS_H
#define VINVEIL_VEHICLE_CLIENTS_H

#include "vehicle/flow.h"

/*
 * client: id, tenant, scopes, purposes, limits and fingerprints as parsed (access.h); state, version and time are set
 * here. SCOPE_MISSING, NOT_FOUND (no such tenant, or not the caller's), ALREADY_EXISTS (ID or fingerprint).
 */
enum problem clients_create(struct flow_request *request, const struct client *client, struct client *ret_client);

enum problem clients_get(struct flow_request *request, const char *client_id, struct client *ret_client);

/* SAME_PERSON for oneself. Suspending a suspended one changes nothing; resuming alike. */
enum problem clients_suspend(struct flow_request *request, const char *client_id, struct client *ret_client);
enum problem clients_resume(struct flow_request *request, const char *client_id, struct client *ret_client);

/* CERTIFICATE_LIMIT when there are two; one that is there already changes nothing. */
enum problem clients_add_fingerprint(struct flow_request *request, const char *client_id,
				     const uint8_t fingerprint[static SHA256_SIZE], struct client *ret_client);
/* NOT_FOUND when it is not there. The last one may go, too: the client is then shut out. */
enum problem clients_remove_fingerprint(struct flow_request *request, const char *client_id,
					const uint8_t fingerprint[static SHA256_SIZE], struct client *ret_client);

/* Of the caller's tenant; with the platform scope of all. In the request's arena. */
enum problem clients_list(struct flow_request *request, struct client **ret_clients, size_t *ret_count);

#endif
