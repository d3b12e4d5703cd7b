#include "adapters/telemetry/control.h"
#include "programs/ingest/ingest.h"

enum result order_carry_out(struct ingest *ingest, const struct spool_record *record, struct note *note)
{
	struct telemetry_store *store = ingest->store;
	struct control_order order;

	if (control_order_read(record, &order) != RESULT_OK) {
		note_set(note, "a record of kind %u that is not understood", (unsigned)record->kind);
		return RESULT_INVALID;
	}
	switch (order.kind) {
	case ORDER_ASSIGN:
		return store->ops->assign(store, &order.reference_id, &order.tenant, note);
	case ORDER_RETENTION:
		return store->ops->set_retention(store, &order.tenant, order.days, note);
	case ORDER_DECODER:
		return fleetwise_decoders_put(ingest->decoders, order.sync_id, order.document, note);
	case ORDER_FORGET:
		return store->ops->forget(store, &order.reference_id, note);
	}
	return RESULT_INVALID;
}
