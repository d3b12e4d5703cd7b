/*
 * The port telemetry_control over a spool: vinveild writes, vinveil-ingest reads. Kinds and bodies are in
 * doc/spool-format.md.
 */
#ifndef VINVEIL_ADAPTERS_TELEMETRY_CONTROL_H
#define VINVEIL_ADAPTERS_TELEMETRY_CONTROL_H

#include "adapters/spool/spool.h"
#include "vehicle/ports/registry.h"
#include "vehicle/ports/telemetry_control.h"

/* ---- telling ------------------------------------------------------------------------------------------------ */

/* As spool_writer_open(). */
MUST_USE enum result telemetry_control_open(const struct spool_config *config, struct telemetry_control **ret_control,
					    struct note *note);
/* NULL is allowed. */
void telemetry_control_close(struct telemetry_control *control);

/* ---- being told --------------------------------------------------------------------------------------------- */

/* On disk: never renumber. */
enum telemetry_order_kind { ORDER_ASSIGN = 1, ORDER_RETENTION = 2, ORDER_DECODER = 3, ORDER_FORGET = 4 };

struct control_order {
	enum telemetry_order_kind kind;
	struct uuid reference_id; /* ASSIGN, FORGET */
	struct tenant_id tenant;  /* ASSIGN, RETENTION, DECODER */
	uint32_t days;		  /* RETENTION; 0: the default */
	char sync_id[SYNC_ID_LENGTH_MAX + 1];
	struct span document; /* borrowed from the record */
};

/* RESULT_INVALID: not one of these, or not whole. */
MUST_USE enum result control_order_read(const struct spool_record *record, struct control_order *ret_order);

#endif
