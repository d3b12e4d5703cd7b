#include "programs/mosquitto-plugin/gateway.h"

#include "base/entropy.h"
#include "base/secret.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static enum result read_token(const char *path, uint8_t ret_token[static GATEWAY_TOKEN_SIZE], struct note *note)
{
	BUF_CLEANUP struct buf text = {.size_max = 256};
	TRY(file_check_not_public(path, note));
	TRY(file_read(path, &text, note));
	struct span hex = buf_span(&text);
	if (hex.size > 0 && hex.data[hex.size - 1] == '\n')
		hex.size--;
	if (hex_parse(hex, false, ret_token, GATEWAY_TOKEN_SIZE) == RESULT_OK)
		return RESULT_OK;
	note_set(note, "%s must hold %d hex digits", path, 2 * GATEWAY_TOKEN_SIZE);
	return RESULT_INVALID;
}

static enum result open_parts(struct gateway *gateway, struct note *note)
{
	const struct plugin_options *options = gateway->options;
	const struct spooling_config spooling = {
		.telemetry_directory = options->telemetry_spool,
		.events_directory = options->events_spool,
		.telemetry_mib = (size_t)options->telemetry_spool_mib,
	};
	TRY(read_token(options->token_file, gateway->token, note));
	/* Numbers of an earlier life of the broker must not come again: answers may still be under way to them. */
	TRY(entropy_fill(entropy_system(), &gateway->sessions.last_number, sizeof(gateway->sessions.last_number)));
	gateway->sessions.last_number >>= 1;
	TRY(spooling_open(&gateway->spooling, &spooling, note));
	return claim_channel_open(options->socket, &gateway->channel, note);
}

enum result gateway_open(struct gateway *gateway, const struct plugin_options *options, const struct broker_ops *broker,
			 void *broker_context, struct note *note)
{
	memset(gateway, 0, sizeof(*gateway));
	gateway->options = options;
	gateway->broker = broker;
	gateway->broker_context = broker_context;
	gateway->clock = clock_system();
	gateway->log_tokens = LOG_LINES_MAX;
	enum result result = open_parts(gateway, note);
	if (result != RESULT_OK)
		gateway_close(gateway);
	return result;
}

void gateway_close(struct gateway *gateway)
{
	claim_channel_close(gateway->channel);
	spooling_close(&gateway->spooling);
	deliveries_release(&gateway->deliveries);
	sessions_release(&gateway->sessions);
	deny_list_release(&gateway->deny_list);
	key_set_release(&gateway->commanded);
	secret_wipe(gateway->token, sizeof(gateway->token));
	gateway->channel = NULL;
}

void gateway_log(struct gateway *gateway, bool is_warning, const char *format, ...)
{
	char text[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (gateway->log_tokens <= 0)
		return;
	gateway->log_tokens--;
	gateway->broker->log(gateway->broker_context, is_warning, text);
}

enum result gateway_record(struct gateway *gateway, const struct session *session, enum gateway_event_kind kind)
{
	struct gateway_event event = {
		.kind = kind,
		.at_ms = clock_now_ms(gateway->clock),
		.reference_id = session->identity.reference_id,
		.serial = session->identity.serial,
	};
	memcpy(event.address, session->address, sizeof(event.address));
	return spooling_event(&gateway->spooling, &event);
}
