/*
 * The handlers that the route table names; one file a resource. Private to api/.
 */
#ifndef VINVEIL_API_HANDLERS_H
#define VINVEIL_API_HANDLERS_H

#include "api/routes.h"

#define ROUTE_COUNT_MAX 48

/* reference_ids.c */
route_handler lookup_prepare; /* on the loop: reads and judges the body; the worker does the rest */
route_handler lookup_batch;

/* vehicles.c */
route_handler vehicle_provision, vehicle_list, vehicle_read, vehicle_update, vehicle_history, vehicle_renew_certificate;

/* commands.c, alerts.c */
route_handler command_send, command_list, command_read;
route_handler alert_list;

/* signals.c */
route_handler signals_read_latest, signals_read;

/* tcu_changes.c, devices.c, reveal_requests.c */
route_handler tcu_change_apply;
route_handler manifest_answer;
route_handler reveal_request_create, reveal_request_read, reveal_request_approve, reveal_request_open;

/* audit.c */
route_handler vehicle_access_report, audit_entries, audit_checkpoint, audit_tile;

/* clients.c, tenants.c */
route_handler client_list, client_create, client_read, client_suspend, client_resume, client_add_certificate,
	client_remove_certificate;
route_handler tenant_list, tenant_create;

/* claims.c, est.c, signal_documents.c */
route_handler claim_list, claim_create, claim_read, claim_revoke;
route_handler est_cacerts, est_enroll, est_renew;
route_handler signal_documents_create, signal_documents_read;

/* openapi.c, operations.c */
route_handler openapi_document;
route_handler operations_health, operations_ready, operations_metrics, operations_crl;

#endif
