#include "fake_gateway.h"

#include <stdio.h>

static struct fake_gateway *self_of(struct device_gateway *gateway)
{
	return (struct fake_gateway *)gateway;
}

static void tell(struct device_gateway *gateway, const struct fake_told *told)
{
	struct fake_gateway *self = self_of(gateway);

	pthread_mutex_lock(&self->mutex);
	if (self->told_count < FAKE_TOLD_MAX)
		self->told[self->told_count++] = *told;
	pthread_mutex_unlock(&self->mutex);
}

static void revoke(struct device_gateway *gateway, const struct gateway_revocation *revoked, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tell(gateway, &(struct fake_told){.kind = FAKE_REVOKED, .revocation = revoked[i]});
}

static void refresh(struct device_gateway *gateway, const struct tenant_id *tenant, const struct uuid *reference_id)
{
	(void)tenant;
	tell(gateway, &(struct fake_told){.kind = FAKE_REFRESHED, .reference_id = *reference_id});
}

static void activate(struct device_gateway *gateway, const struct serial *serial)
{
	tell(gateway, &(struct fake_told){.kind = FAKE_ACTIVATED, .revocation = {.serial = *serial}});
}

static void keep(struct fake_gateway *self, struct fake_delivery *deliveries, size_t *count,
		 const struct fake_delivery *delivery, struct span payload)
{
	pthread_mutex_lock(&self->mutex);
	if (*count < FAKE_DELIVERIES_MAX) {
		struct fake_delivery *kept = &deliveries[(*count)++];
		*kept = *delivery;
		kept->payload_size = payload.size;
		snprintf(kept->payload, sizeof(kept->payload), "%.*s", (int)payload.size, (const char *)payload.data);
	}
	pthread_mutex_unlock(&self->mutex);
}

static void send_command(struct device_gateway *gateway, const struct uuid *reference_id,
			 const struct uuid *command_id, struct span payload)
{
	struct fake_gateway *self = self_of(gateway);
	struct fake_delivery delivery = {.reference_id = *reference_id, .command_id = *command_id};

	keep(self, self->commands, &self->command_count, &delivery, payload);
}

static void publish(struct device_gateway *gateway, const struct uuid *reference_id, const char *topic,
		    struct span payload)
{
	struct fake_gateway *self = self_of(gateway);
	struct fake_delivery delivery = {.reference_id = *reference_id};

	snprintf(delivery.topic, sizeof(delivery.topic), "%s", topic);
	keep(self, self->publications, &self->publication_count, &delivery, payload);
}

static void answer(struct device_gateway *gateway, const struct gateway_caller *caller, const char *topic,
		   struct span payload)
{
	struct fake_gateway *self = self_of(gateway);
	struct fake_delivery delivery = {.caller = *caller};

	snprintf(delivery.topic, sizeof(delivery.topic), "%s", topic);
	keep(self, self->answers, &self->answer_count, &delivery, payload);
}

static void get_status(struct device_gateway *gateway, struct gateway_status *ret_status)
{
	(void)gateway;
	*ret_status = (struct gateway_status){.is_connected = true};
}

static const struct device_gateway_ops ops = {.revoke = revoke,
					      .refresh = refresh,
					      .activate = activate,
					      .send_command = send_command,
					      .publish = publish,
					      .answer = answer,
					      .get_status = get_status};

void fake_gateway_init(struct fake_gateway *gateway)
{
	memset(gateway, 0, sizeof(*gateway));
	gateway->gateway.ops = &ops;
	pthread_mutex_init(&gateway->mutex, NULL);
}

bool fake_gateway_denies(struct fake_gateway *gateway, const struct serial *serial)
{
	bool is_denied = false;

	pthread_mutex_lock(&gateway->mutex);
	for (size_t i = 0; i < gateway->told_count; i++) {
		const struct fake_told *told = &gateway->told[i];
		if (told->kind != FAKE_REFRESHED &&
		    memcmp(told->revocation.serial.bytes, serial->bytes, SERIAL_SIZE) == 0)
			is_denied = told->kind == FAKE_REVOKED;
	}
	pthread_mutex_unlock(&gateway->mutex);
	return is_denied;
}

size_t fake_gateway_count(struct fake_gateway *gateway, enum fake_told_kind kind)
{
	size_t count = 0;

	pthread_mutex_lock(&gateway->mutex);
	for (size_t i = 0; i < gateway->told_count; i++)
		count += gateway->told[i].kind == kind;
	pthread_mutex_unlock(&gateway->mutex);
	return count;
}
