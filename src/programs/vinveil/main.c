/* `vinveil`, the operator's command line. The table is the program; see commands.h. */
#include "programs/vinveil/commands.h"

#include "base/json.h"
#include "base/log.h"
#include "crypto/digest.h"

#include <signal.h>

static const struct command *const commands[] = {
	&command_dev,
	&command_init,
	&command_serve,
	&command_simulate,
	&command_tenant_add,
	&command_tenant_list,
	&command_client_add,
	&command_client_list,
	&command_client_suspend,
	&command_client_resume,
	&command_claim_add,
	&command_claim_list,
	&command_claim_revoke,
	&command_devices_load,
	&command_signals_load,
	&command_signals_list,
	&command_provision,
	&command_lookup,
	&command_vehicle_list,
	&command_vehicle_show,
	&command_vehicle_signals,
	&command_vehicle_history,
	&command_tcu_change,
	&command_tcu_delete,
	&command_command_send,
	&command_command_show,
	&command_reveal_request,
	&command_reveal_approve,
	&command_reveal_open,
	&command_alert_list,
	&command_audit_tail,
	&command_audit_verify,
	&command_audit_prove,
	&command_import,
	&command_backup,
	&command_restore,
	&command_keys_list,
	&command_keys_rotate,
	&command_keys_export,
	&command_keys_import,
};

int main(int argc, char **argv)
{
	struct note note = {0};
	log_init("vinveil", LOG_WARN);
	json_init();
	signal(SIGPIPE, SIG_IGN);
	enum result result = crypto_init(&note);
	if (result != RESULT_OK)
		return fail("starting OpenSSL", result, &note);
	return command_main(commands, sizeof commands / sizeof commands[0], argc, argv);
}
