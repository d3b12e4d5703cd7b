// AWS's own device SDK, as a vehicle's firmware uses it: fleet provisioning by claim (IotIdentityClientv2), then the
// vehicle itself over the ALPN listener: telemetry, a command and its answer.
//   node vehicle.js DIR/dev.json
'use strict';

const assert = require('assert');
const {execFileSync} = require('child_process');
const fs = require('fs');
const https = require('https');
const os = require('os');
const path = require('path');
const {iot, iotidentity, mqtt5} = require('aws-iot-device-sdk-v2');

const platform = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'vinveil-aws-'));
// A public example VIN; the device IDs are this run's own.
const VIN = '1M8GDM9AXKP042788';
const run = process.pid.toString(36).toUpperCase();
const TIMEOUT_MS = 15000;

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function api(client, method, target, body, type = 'application/json') {
  const files = platform.clients[client];
  const options = {
    method,
    ca: fs.readFileSync(platform.caCertificate),
    cert: fs.readFileSync(files.certificate),
    key: fs.readFileSync(files.key),
    headers: body === undefined ? {} : {'Content-Type': type, 'Content-Length': Buffer.byteLength(body)},
  };
  return new Promise((resolve, reject) => {
    const request = https.request(platform.api + target, options, (response) => {
      let text = '';
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => resolve({status: response.statusCode, body: text === '' ? null : JSON.parse(text)}));
    });
    request.on('error', reject);
    request.end(body);
  });
}

function makeKey(name) {
  const key = path.join(directory, `${name}.key`);
  execFileSync('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key], {stdio: 'pipe'});
  const csr = execFileSync('openssl', ['req', '-new', '-key', key, '-subj', '/CN=telematics unit'], {stdio: 'pipe'});
  return {key, csr: csr.toString()};
}

async function connect(certificate, key, clientId, port) {
  const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath(
    platform.mqtt.host, certificate, key);
  builder.withCertificateAuthorityFromPath(undefined, platform.mqtt.caCertificate);
  builder.withPort(port);
  builder.withConnectProperties({clientId, keepAliveIntervalSeconds: 60});
  const client = new mqtt5.Mqtt5Client(builder.build());
  const connected = new Promise((resolve, reject) => {
    client.on('connectionSuccess', resolve);
    client.on('connectionFailure', (event) => reject(new Error(`${clientId}: ${event.error}`)));
  });
  client.start();
  await within(connected, `connection as ${clientId}`);
  return client;
}

async function disconnect(client) {
  const stopped = new Promise((resolve) => client.on('stopped', resolve));
  client.stop();
  await within(stopped, 'disconnection');
  client.close();
}

async function provision(deviceId) {
  const {key, csr} = makeKey('vehicle');
  const mqtt = await connect(platform.mqtt.claimCertificate, platform.mqtt.claimKey, `factory-${run}`,
    platform.mqtt.port);
  const identity = iotidentity.IotIdentityClientv2.newFromMqtt5(mqtt, {
    maxRequestResponseSubscriptions: 4, maxStreamingSubscriptions: 0, operationTimeoutInSeconds: 15});
  const created = await within(identity.createCertificateFromCsr({certificateSigningRequest: csr}),
    'createCertificateFromCsr');
  assert.match(created.certificatePem, /BEGIN CERTIFICATE/);
  assert.match(created.certificateId, /^[0-9a-f]{64}$/);

  const order = {
    templateName: platform.mqtt.template,
    certificateOwnershipToken: created.certificateOwnershipToken,
    parameters: {VIN, DeviceId: deviceId},
  };
  await refused(identity.registerThing({...order, parameters: {VIN: 'NOT-A-VIN', DeviceId: deviceId}}),
    'a malformed VIN');
  const thing = await within(identity.registerThing(order), 'registerThing');
  assert.match(thing.thingName, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  await refused(identity.registerThing(order), 'the same token again');
  identity.close();
  await disconnect(mqtt);

  const certificate = path.join(directory, 'vehicle.pem');
  fs.writeFileSync(certificate, created.certificatePem);
  return {referenceId: thing.thingName, certificate, key};
}

async function refused(promise, what) {
  await within(promise.then(() => assert.fail(`${what} was accepted`), (error) => {
    const modeled = error.modeledError;
    assert.ok(modeled && modeled.statusCode >= 400 && modeled.errorCode && modeled.errorMessage,
      `${what}: no rejected answer but ${error}`);
    assert.ok(!JSON.stringify(modeled).includes(VIN), 'a rejected answer holds the VIN');
  }), what);
}

async function eventually(what, probe) {
  const until = Date.now() + TIMEOUT_MS;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > until) throw new Error(`${what}: not within ${TIMEOUT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function drive(vehicle) {
  const id = vehicle.referenceId;
  const mqtt = await connect(vehicle.certificate, vehicle.key, id, platform.mqtt.portAlpn);
  const requests = `$aws/commands/things/${id}/executions/+/request/json`;
  mqtt.on('messageReceived', async (event) => {
    const topic = event.message.topicName.toString();
    if (!topic.endsWith('/request/json')) return;
    await mqtt.publish({
      topicName: topic.replace('/request/json', '/response/json'), qos: mqtt5.QoS.AtLeastOnce,
      payload: JSON.stringify({status: 'SUCCEEDED', result: {locked: {b: true}}}),
    });
  });
  await within(mqtt.subscribe({subscriptions: [{topicFilter: requests, qos: mqtt5.QoS.AtLeastOnce}]}), 'subscription');
  const sent = {timestamp: Date.now(), signals: {'Vehicle.Speed': 52.5}};
  await within(mqtt.publish({topicName: `vehicles/${id}/signals`, qos: mqtt5.QoS.AtLeastOnce,
    payload: JSON.stringify(sent)}), 'PUBACK');
  const latest = await eventually('telemetry', async () => {
    const answer = await api('crm', 'GET', `/v1/vehicles/${id}/signals/latest`);
    return answer.status === 200 && answer.body.signals['Vehicle.Speed'];
  });
  assert.strictEqual(latest.value, 52.5);

  const order = await api('crm', 'POST', `/v1/vehicles/${id}/commands`,
    JSON.stringify({name: 'lock', payload: {doors: 'all'}, timeoutSeconds: 30}));
  assert.strictEqual(order.status, 202, JSON.stringify(order));
  await eventually('the command', async () => {
    const answer = await api('crm', 'GET', `/v1/vehicles/${id}/commands/${order.body.commandId}`);
    return answer.status === 200 && answer.body.status === 'SUCCEEDED';
  });
  await disconnect(mqtt);
}

async function main() {
  const deviceId = `AWS-${run}`;
  const loaded = await api('factory', 'POST', '/v1/devices', `{"deviceId": "${deviceId}"}\n`, 'application/x-ndjson');
  assert.strictEqual(loaded.status, 200, JSON.stringify(loaded));
  const vehicle = await provision(deviceId);
  const row = await api('factory', 'GET', `/v1/vehicles/${vehicle.referenceId}`);
  assert.strictEqual(row.status, 200, JSON.stringify(row));
  assert.strictEqual(row.body.deviceId, deviceId);
  await drive(vehicle);
}

main().then(() => 0, (error) => { console.error(error.stack || error); return 1; }).then((code) => {
  fs.rmSync(directory, {recursive: true, force: true});
  process.exit(code);
});
