/*
 * An installation on disk: its directory's layout, its keys and certificates, its configuration files.
 *
 *   DIR/vinveild.conf DIR/keyd.conf   what the daemons read
 *   DIR/registry/registry.db          the vehicle registry; beside it vinveild keeps the CRL
 *   DIR/audit/                        the transparency log
 *   DIR/keyd/                         keyd's own: root key, device issuer, audit key, budgets
 *   DIR/tls/server.{key,pem}          vinveild's TLS identity
 *   DIR/gateway/ DIR/spool/ DIR/telemetry/ DIR/tls/broker.{key,pem} DIR/ingest.conf   see installation_gateway.h
 *   DIR/ca/NAME.pem                   certificates of the three roots and of the device issuer
 *   DIR/run/keyd.sock
 *   dev only: DIR/dev (the mark), DIR/roots/NAME.key, DIR/clients/NAME.{key,pem}, DIR/dev.json
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_INSTALLATION_H
#define VINVEIL_PROGRAMS_VINVEIL_INSTALLATION_H

#include "base/file.h"
#include "vehicle/access.h"

#define MESSAGES_PER_SECOND_DEFAULT  100
#define MESSAGES_BURST_DEFAULT	     200
#define STALE_REFUSE_SECONDS_DEFAULT 10
#define STALE_CLOSE_SECONDS_DEFAULT  3600
#define TELEMETRY_SPOOL_MIB_DEFAULT  1024

struct installation {
	char directory[PATH_SIZE];	 /* absolute */
	char roots_directory[PATH_SIZE]; /* where the root keys go (init) */
	char keyd_socket[PATH_SIZE];
	const char *const *server_names; /* DNS names or addresses of the server's certificate, NULL-terminated */
	uint16_t api_port, operations_port;
	uint16_t mqtt_port, alpn_port, websockets_port; /* the broker's */
	uint16_t ingest_port;				/* vinveil-ingest's operations */
	char listen_address[64], mqtt_listen_address[64];
	const char *gateway_endpoint; /* the broker's name, as vehicles are told */
	int64_t requests_per_second;  /* 0: the default */
	int64_t reveals_per_hour;     /* 0: the default */
	/* the gateway's limits, see installation_set_gateway_defaults() */
	int64_t messages_per_second, messages_burst; /* of one vehicle */
	int64_t stale_refuse_seconds, stale_close_seconds;
	int64_t telemetry_spool_mib;
	bool is_dev;
};

/* The clients that `vinveil dev` makes; ends with a NULL name. */
struct dev_client {
	const char *name;
	const char *tenant;
	uint32_t scopes;
	const char *purpose; /* NULL: none */
};
extern const struct dev_client dev_clients[];

/* The gateway's limits as in production. */
void installation_set_gateway_defaults(struct installation *installation);

/*
 * Everything a new production installation needs, for the names, ports and roots directory in it. RESULT_CONFLICT when
 * the directory is not empty.
 */
MUST_USE enum result installation_create(struct installation *installation, const char *directory, struct note *note);

/* For `vinveil dev`: initialises an empty or missing directory, accepts one that dev made, refuses any other;
   (re)writes the configuration files for the ports and limits asked for. */
MUST_USE enum result installation_prepare_dev(struct installation *installation, const char *directory,
					      struct note *note);

/* The path of a program that stands beside this one. */
MUST_USE enum result installation_program(const char *name, char ret_path[static PATH_SIZE]);

#endif
