/*
 * The device gateway's part of an installation: what Mosquitto with our plugin, vinveil-ingest and vinveild need to
 * meet. Used by installation.c alone.
 *
 *   DIR/gateway/mosquitto.conf     the broker's configuration; comments in it say why each line stands there
 *   DIR/gateway/token              what vinveild shows to the broker on their UNIX socket
 *   DIR/gateway/device-ca.pem      device root and issuer: whose certificates may connect
 *   DIR/gateway/run/               the sockets of broker and plugin, apart from keyd's
 *   DIR/tls/broker.{key,pem}       the broker's TLS identity, from the server root
 *   DIR/spool/{events,telemetry,control}/   durable queues between the processes (doc/spool-format.md)
 *   DIR/telemetry/                 the telemetry store
 *   DIR/ingest.conf                vinveil-ingest's configuration
 *   dev only: DIR/clients/claim.{key,pem}   the first claim, for tenant demo
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_INSTALLATION_GATEWAY_H
#define VINVEIL_PROGRAMS_VINVEIL_INSTALLATION_GATEWAY_H

#include "programs/vinveil/installation.h"
#include "vehicle/ports/registry.h"

MUST_USE enum result gateway_make_directories(const struct installation *installation, struct note *note);
/* After the device issuer is made. */
MUST_USE enum result gateway_make_contents(const struct installation *installation, struct note *note);
MUST_USE enum result gateway_make_dev_claim(const struct installation *installation, struct registry *registry,
					    struct note *note);
MUST_USE enum result gateway_write_configs(const struct installation *installation, struct note *note);
/* The lines of vinveild.conf that are about it. */
MUST_USE enum result gateway_append_vinveild_config(const struct installation *installation, struct buf *text);

#endif
