/*
 * What a tenant's edge agents are to decode and to send: an operator's description (doc/fleetwise.md) becomes a decoder
 * manifest and collection schemes, which agents are given when they check in (fleet/checkins.c), and the names of the
 * manifest's signals, which ingest is told.
 */
#ifndef VINVEIL_VEHICLE_SIGNAL_DOCUMENTS_H
#define VINVEIL_VEHICLE_SIGNAL_DOCUMENTS_H

#include "vehicle/flow.h"

/*
 * For the caller's tenant, from here on in place of what it had. Ingest is told the names first: that nobody uses them
 * when the commit fails does no harm. Loading the same again changes nothing for agents that have it. MALFORMED,
 * VALUE_INVALID and VIN_NOT_ALLOWED with a sentence that names the place.
 */
enum problem signal_documents_load(struct flow_request *request, const json_t *description,
				   struct agent_documents *ret_documents);

#define SIGNAL_DOCUMENT_KINDS 2

/* Those that hold now: none, or one of each kind; without their bytes. */
enum problem signal_documents_list(struct flow_request *request,
				   struct signal_document ret_documents[static SIGNAL_DOCUMENT_KINDS],
				   size_t *ret_count);

/* "decoder-manifest", "collection-schemes" */
const char *signal_document_kind_name(enum signal_document_kind kind);

#endif
