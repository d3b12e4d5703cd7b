/* The commands that `vinveil` has, in the order in which --help lists them; each lives in the file of its noun. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_COMMANDS_H
#define VINVEIL_PROGRAMS_VINVEIL_COMMANDS_H

#include "programs/vinveil/command.h"

extern const struct command command_dev, command_init, command_serve;
extern const struct command command_tenant_add, command_tenant_list;
extern const struct command command_client_add, command_client_list, command_client_suspend, command_client_resume;
extern const struct command command_claim_add, command_claim_list, command_claim_revoke;
extern const struct command command_devices_load;
extern const struct command command_signals_load, command_signals_list;
extern const struct command command_provision, command_lookup;
extern const struct command command_vehicle_list, command_vehicle_show, command_vehicle_history,
	command_vehicle_signals;
extern const struct command command_tcu_change, command_tcu_delete;
extern const struct command command_command_send, command_command_show;
extern const struct command command_alert_list;
extern const struct command command_simulate;
extern const struct command command_reveal_request, command_reveal_approve, command_reveal_open;
extern const struct command command_audit_tail, command_audit_verify, command_audit_prove;
extern const struct command command_import, command_backup, command_restore;
extern const struct command command_keys_list, command_keys_rotate, command_keys_export, command_keys_import;

#endif
