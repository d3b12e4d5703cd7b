#include "programs/vinveil/dev_json.h"

#include "base/json.h"
#include "programs/vinveil/broker_config.h"

#include <stdio.h>

/* A member that names a file of the installation. */
static void write_path(struct json_writer *writer, const char *key, const struct installation *installation,
		       const char *name)
{
	char path[PATH_SIZE];
	enum result result = path_join(installation->directory, name, path);
	if (result != RESULT_OK)
		writer->result = result;
	else
		json_member_text(writer, key, path);
}

static void write_client(struct json_writer *writer, const char *name, const struct installation *installation)
{
	char file[CLIENT_ID_LENGTH_MAX + 16];
	json_key(writer, name);
	json_object_begin(writer);
	snprintf(file, sizeof file, "clients/%s.pem", name);
	write_path(writer, "certificate", installation, file);
	snprintf(file, sizeof file, "clients/%s.key", name);
	write_path(writer, "key", installation, file);
	json_object_end(writer);
}

static void write_addresses(struct json_writer *writer, const struct installation *installation)
{
	char text[64];
	snprintf(text, sizeof text, "https://127.0.0.1:%u", installation->api_port);
	json_member_text(writer, "api", text);
	snprintf(text, sizeof text, "http://127.0.0.1:%u", installation->operations_port);
	json_member_text(writer, "operations", text);
	write_path(writer, "caCertificate", installation, "ca/server-root.pem");
	write_path(writer, "deviceCaCertificate", installation, "ca/device-root.pem");
	json_member_text(writer, "tenant", "demo");
}

static void write_mqtt(struct json_writer *writer, const struct installation *installation)
{
	json_key(writer, "mqtt");
	json_object_begin(writer);
	json_member_text(writer, "host", installation->gateway_endpoint);
	json_member_number(writer, "port", installation->mqtt_port);
	json_member_number(writer, "portAlpn", installation->alpn_port);
	json_member_number(writer, "portWebSockets", installation->websockets_port);
	write_path(writer, "caCertificate", installation, "ca/server-root.pem");
	write_path(writer, "claimCertificate", installation, "clients/claim.pem");
	write_path(writer, "claimKey", installation, "clients/claim.key");
	json_member_text(writer, "template", GATEWAY_TEMPLATE);
	json_object_end(writer);
}

static enum result write_content(const struct installation *installation, const struct dev_process *processes,
				 size_t count, struct buf *ret_content)
{
	struct json_writer writer;
	json_writer_init(&writer, ret_content);
	json_object_begin(&writer);
	write_addresses(&writer, installation);
	json_key(&writer, "clients");
	json_object_begin(&writer);
	for (const struct dev_client *client = dev_clients; client->name != NULL; client++)
		write_client(&writer, client->name, installation);
	json_object_end(&writer);
	write_mqtt(&writer, installation);
	json_key(&writer, "processes");
	json_object_begin(&writer);
	for (size_t i = 0; i < count; i++)
		json_member_number(&writer, processes[i].name, processes[i].pid);
	json_object_end(&writer);
	json_object_end(&writer);
	return json_writer_end(&writer);
}

enum result dev_json_write(const struct installation *installation, const struct dev_process *processes, size_t count,
			   struct note *note)
{
	BUF_CLEANUP struct buf content = {0};
	char path[PATH_SIZE];
	TRY(write_content(installation, processes, count, &content));
	TRY(path_join(installation->directory, "dev.json", path));
	return file_replace(path, buf_span(&content), 0600, note);
}
