#include "fake_gateway.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake_gateway *self_of(struct device_gateway *gateway)
{
	return (struct fake_gateway *)gateway;
}

static void remember(struct device_gateway *gateway, struct fake_gateway_call call, struct span payload)
{
	struct fake_gateway *self = self_of(gateway);

	if (payload.data != NULL) {
		call.payload = calloc(1, payload.size + 1);
		assert(call.payload != NULL);
		memcpy(call.payload, payload.data, payload.size);
		call.payload_size = payload.size;
	}
	pthread_mutex_lock(&self->mutex);
	if (self->count == self->capacity) {
		self->capacity = self->capacity * 2 + 16;
		self->calls = realloc(self->calls, self->capacity * sizeof(*self->calls));
		assert(self->calls != NULL);
	}
	self->calls[self->count++] = call;
	pthread_mutex_unlock(&self->mutex);
}

static void revoke(struct device_gateway *gateway, const struct gateway_revocation *revoked, size_t count)
{
	for (size_t i = 0; i < count; i++)
		remember(gateway,
			 (struct fake_gateway_call){.kind = GATEWAY_TOLD_REVOKE,
						    .serial = revoked[i].serial,
						    .reference_id = revoked[i].reference_id,
						    .not_after_ms = revoked[i].not_after_ms},
			 (struct span){0});
}

static void refresh(struct device_gateway *gateway, const struct tenant_id *tenant, const struct uuid *reference_id)
{
	remember(gateway,
		 (struct fake_gateway_call){
			 .kind = GATEWAY_TOLD_REFRESH, .tenant = *tenant, .reference_id = *reference_id},
		 (struct span){0});
}

static void activate(struct device_gateway *gateway, const struct serial *serial)
{
	remember(gateway, (struct fake_gateway_call){.kind = GATEWAY_TOLD_ACTIVATE, .serial = *serial},
		 (struct span){0});
}

static void send_command(struct device_gateway *gateway, const struct uuid *reference_id, const struct uuid *command_id,
			 struct span payload)
{
	remember(gateway,
		 (struct fake_gateway_call){
			 .kind = GATEWAY_TOLD_COMMAND, .reference_id = *reference_id, .command_id = *command_id},
		 payload);
}

static void publish(struct device_gateway *gateway, const struct uuid *reference_id, const char *topic,
		    struct span payload)
{
	struct fake_gateway_call call = {.kind = GATEWAY_TOLD_PUBLISH, .reference_id = *reference_id};

	snprintf(call.topic, sizeof(call.topic), "%s", topic);
	remember(gateway, call, payload);
}

static void answer(struct device_gateway *gateway, const struct gateway_caller *caller, const char *topic,
		   struct span payload)
{
	struct fake_gateway_call call = {.kind = GATEWAY_TOLD_ANSWER, .caller = *caller};

	snprintf(call.topic, sizeof(call.topic), "%s", topic);
	remember(gateway, call, payload);
}

static void get_status(struct device_gateway *gateway, struct gateway_status *ret_status)
{
	(void)gateway;
	*ret_status = (struct gateway_status){.is_connected = true};
}

static const struct device_gateway_ops ops = {
	.revoke = revoke,
	.refresh = refresh,
	.activate = activate,
	.send_command = send_command,
	.publish = publish,
	.answer = answer,
	.get_status = get_status,
};

void fake_gateway_init(struct fake_gateway *gateway)
{
	*gateway = (struct fake_gateway){.gateway = {.ops = &ops}};
	pthread_mutex_init(&gateway->mutex, NULL);
}

void fake_gateway_clear(struct fake_gateway *gateway)
{
	for (size_t i = 0; i < gateway->count; i++)
		free(gateway->calls[i].payload);
	gateway->count = 0;
}

void fake_gateway_release(struct fake_gateway *gateway)
{
	fake_gateway_clear(gateway);
	free(gateway->calls);
	pthread_mutex_destroy(&gateway->mutex);
}

size_t fake_gateway_count(const struct fake_gateway *gateway, enum fake_gateway_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < gateway->count; i++)
		count += gateway->calls[i].kind == kind;
	return count;
}

const struct fake_gateway_call *fake_gateway_call(const struct fake_gateway *gateway, enum fake_gateway_kind kind,
						  size_t number)
{
	for (size_t i = 0; i < gateway->count; i++)
		if (gateway->calls[i].kind == kind && number-- == 0)
			return &gateway->calls[i];
	return NULL;
}
