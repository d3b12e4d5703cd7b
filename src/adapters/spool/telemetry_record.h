/* What stands in the telemetry spool, between the broker's plugin and vinveil-ingest. */
#ifndef VINVEIL_ADAPTERS_SPOOL_TELEMETRY_RECORD_H
#define VINVEIL_ADAPTERS_SPOOL_TELEMETRY_RECORD_H

/* Kinds of records; the body is the payload as it was published. On disk: never renumber. */
enum telemetry_record_kind {
	TELEMETRY_RECORD_JSON = 1,	/* from vehicles/{referenceId}/signals */
	TELEMETRY_RECORD_FLEETWISE = 2, /* from $aws/iotfleetwise/vehicles/{referenceId}/signals */
};

#endif
