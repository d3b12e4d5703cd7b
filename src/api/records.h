/*
 * The records that the API answers with, as JSON. Private to api/.
 */
#ifndef VINVEIL_API_RECORDS_H
#define VINVEIL_API_RECORDS_H

#include "api/call.h"
#include "vehicle/certificates.h"

void write_vehicle(struct json_writer *writer, const struct vehicle *vehicle);
void write_history_entry(struct json_writer *writer, const struct history_entry *entry);
/* The object: certificate, chain, privateKey?, serialNumber, notBefore, notAfter */
void write_credentials(struct json_writer *writer, const struct credentials *credentials);
/* limits: what applies where the client's row says none */
void write_client(struct json_writer *writer, const struct client *client, const struct client_limits *limits);
void write_claim(struct json_writer *writer, const struct claim *claim, int64_t now_ms);
void write_tenant(struct json_writer *writer, const struct tenant *tenant);
void write_command(struct json_writer *writer, const struct remote_command *command);
void write_alert(struct json_writer *writer, const struct alert *alert);
void write_reveal_request(struct json_writer *writer, const struct reveal_request *reveal, int64_t now_ms);

/* 200 with the vehicle and its ETag */
enum problem answer_vehicle(struct call *call, const struct vehicle *vehicle);
void answer_etag(struct call *call, uint32_t version);
/* "nextCursor": "…" unless 0 */
void write_cursor(struct json_writer *writer, uint64_t cursor);

#endif
