#!/usr/bin/python3
"""Makes fleetwise.tsv (NAME, tab, hex) and the seeds of two fuzz harnesses, with Google's protobuf and python-snappy:
encoders that share nothing with the program under test. The messages are declared here once more, by the agent's
published field numbers. Needs Debian's python3-protobuf and python3-snappy; the tests themselves need neither.

    tests/vectors/fleetwise.py
"""
import hashlib
import math
import pathlib

import snappy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HERE = pathlib.Path(__file__).resolve().parent
FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {"string": FIELD.TYPE_STRING, "bytes": FIELD.TYPE_BYTES, "uint32": FIELD.TYPE_UINT32,
         "uint64": FIELD.TYPE_UINT64, "sint64": FIELD.TYPE_SINT64, "double": FIELD.TYPE_DOUBLE, "bool": FIELD.TYPE_BOOL,
         "enum": FIELD.TYPE_INT32}  # the same on the wire

# message → name, type, number, repeated?, oneof?; texts are bytes, so that bad UTF-8 can be written
MESSAGES = {
    "VehicleData": [("campaign_sync_id", "bytes", 1), ("decoder_sync_id", "bytes", 2),
                    ("collection_event_id", "uint32", 3), ("collection_event_time_ms_epoch", "uint64", 4),
                    ("captured_signals", "CapturedSignal", 5, True), ("dtc_data", "DtcData", 6),
                    ("s3_objects", "S3Object", 9, True)],
    "S3Object": [("key", "bytes", 1)],
    "CapturedSignal": [("relative_time_ms", "sint64", 1), ("signal_id", "uint32", 2, False, "identity"),
                       ("primitive_type_in_signal", "Member", 10, False, "identity"),
                       ("double_value", "double", 3, False, "value"), ("string_value", "bytes", 4, False, "value")],
    "Member": [("signal_id", "uint32", 1), ("signal_path", "Path", 2)],
    "Path": [("signal_path", "uint32", 1, True)],
    "DtcData": [("relative_time_ms", "sint64", 1), ("active_dtc_codes", "bytes", 2, True)],
    "Checkin": [("document_sync_ids", "bytes", 1, True), ("timestamp_ms_epoch", "uint64", 2)],
    "DecoderManifest": [("sync_id", "string", 1), ("can_signals", "CANSignal", 2, True),
                        ("obd_pid_signals", "OBDPIDSignal", 3, True),
                        ("custom_decoding_signals", "CustomDecodingSignal", 6, True)],
    "CANSignal": [("signal_id", "uint32", 1), ("interface_id", "string", 2), ("message_id", "uint32", 3),
                  ("is_big_endian", "bool", 4), ("is_signed", "bool", 5), ("start_bit", "uint32", 6),
                  ("offset", "double", 7), ("factor", "double", 8), ("length", "uint32", 9),
                  ("primitive_type", "enum", 10), ("signal_value_type", "enum", 11)],
    "OBDPIDSignal": [("signal_id", "uint32", 1), ("interface_id", "string", 2), ("pid_response_length", "uint32", 3),
                     ("service_mode", "uint32", 4), ("pid", "uint32", 5), ("scaling", "double", 6),
                     ("offset", "double", 7), ("start_byte", "uint32", 8), ("byte_length", "uint32", 9),
                     ("bit_right_shift", "uint32", 10), ("bit_mask_length", "uint32", 11),
                     ("primitive_type", "enum", 12), ("signal_value_type", "enum", 13), ("is_signed", "bool", 14)],
    "CustomDecodingSignal": [("signal_id", "uint32", 1), ("interface_id", "string", 2),
                             ("custom_decoding_id", "string", 3), ("primitive_type", "enum", 4)],
    "CollectionSchemes": [("collection_schemes", "CollectionScheme", 1, True), ("timestamp_ms_epoch", "uint64", 2)],
    "CollectionScheme": [("campaign_sync_id", "string", 1), ("decoder_manifest_sync_id", "string", 2),
                         ("start_time_ms_epoch", "uint64", 3), ("expiry_time_ms_epoch", "uint64", 4),
                         ("time_based_collection_scheme", "TimeBased", 5, False, "type"),
                         ("condition_based_collection_scheme", "ConditionBased", 6, False, "type"),
                         ("after_duration_ms", "uint32", 7), ("include_active_dtcs", "bool", 8),
                         ("signal_information", "SignalInformation", 9, True),
                         ("persist_all_collected_data", "bool", 11), ("compress_collected_data", "bool", 12),
                         ("priority", "uint32", 13)],
    "TimeBased": [("time_based_collection_scheme_period_ms", "uint32", 1)],
    "ConditionBased": [("condition_minimum_interval_ms", "uint32", 1), ("condition_language_version", "uint32", 2),
                       ("condition_tree", "ConditionNode", 3), ("condition_trigger_mode", "enum", 4)],
    "SignalInformation": [("signal_id", "uint32", 1), ("sample_buffer_size", "uint32", 2),
                          ("minimum_sample_period_ms", "uint32", 3), ("fixed_window_period_ms", "uint32", 4),
                          ("condition_only_signal", "bool", 5)],
    "ConditionNode": [("node_operator", "NodeOperator", 1, False, "node"),
                      ("node_double_value", "double", 3, False, "node"),
                      ("node_signal_id", "uint32", 4, False, "node"),
                      ("node_boolean_value", "bool", 5, False, "node"),
                      ("node_string_value", "string", 7, False, "node")],
    "NodeOperator": [("left_child", "ConditionNode", 1), ("right_child", "ConditionNode", 2), ("operator", "enum", 3)],
    "SignalNames": [("sync_id", "bytes", 1), ("signals", "SignalName", 2, True)],
    "SignalName": [("signal_id", "uint32", 1), ("name", "bytes", 2), ("is_boolean", "bool", 3)],
}


def declare():
    file = descriptor_pb2.FileDescriptorProto(name="vectors.proto", package="vectors", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        oneofs = []
        for field_name, kind, number, *more in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = FIELD.LABEL_REPEATED if more[:1] == [True] else FIELD.LABEL_OPTIONAL
            if kind in TYPES:
                field.type = TYPES[kind]
            else:
                field.type, field.type_name = FIELD.TYPE_MESSAGE, f".vectors.{kind}"
            if more[1:]:
                if more[1] not in oneofs:
                    oneofs.append(more[1])
                    message.oneof_decl.add(name=more[1])
                field.oneof_index = oneofs.index(more[1])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(f"vectors.{name}")) for name in MESSAGES}


TYPE = declare()
AT = 1767225600000  # 2026-01-01T00:00:00Z
VIN = b"1M8GDM9AXKP042788"


def data(signals=(), at=AT, decoder=b"demo/car/1", **more):
    message = TYPE["VehicleData"](campaign_sync_id=b"demo/heartbeat/1", decoder_sync_id=decoder, collection_event_id=7,
                                  collection_event_time_ms_epoch=at, **more)
    for relative, identity, value in signals:
        signal = message.captured_signals.add(relative_time_ms=relative)
        if isinstance(identity, tuple):
            signal.primitive_type_in_signal.signal_id = identity[0]
            signal.primitive_type_in_signal.signal_path.signal_path.extend(identity[1:])
        elif identity is not None:
            signal.signal_id = identity
        if isinstance(value, bytes):
            signal.string_value = value
        elif value is not None:
            signal.double_value = value
    return message.SerializeToString()


def dtc(relative, *codes):
    return TYPE["DtcData"](relative_time_ms=relative, active_dtc_codes=codes)


def sync_id(name, message):
    digest = hashlib.sha256(message.SerializeToString()).hexdigest()
    return f"demo/{name}/" + "-".join(digest[i:i + 4] for i in range(0, 16, 4))


def described():
    """What fleetwise-description.json describes, written out by hand, for tenant demo at AT."""
    make = lambda kind, **members: TYPE[kind](**members)
    node = lambda **members: make("ConditionNode", **members)
    manifest = make(
        "DecoderManifest",
        can_signals=[make("CANSignal", signal_id=10, interface_id="1", message_id=1024, is_big_endian=True,
                          is_signed=True, start_bit=8, offset=-5, factor=0.01, length=16, primitive_type=10),
                     make("CANSignal", signal_id=7, interface_id="1", message_id=1025, factor=1, length=1,
                          primitive_type=1)],
        obd_pid_signals=[make("OBDPIDSignal", signal_id=3, interface_id="0", pid_response_length=1, service_mode=1,
                              pid=5, scaling=1, offset=-40, byte_length=1, bit_mask_length=8, primitive_type=11)],
        custom_decoding_signals=[make("CustomDecodingSignal", signal_id=4, interface_id="MEDIA",
                                      custom_decoding_id="track-title", primitive_type=12)])
    manifest.sync_id = sync_id("car", manifest)
    collect = lambda signal, size=100, **more: make("SignalInformation", signal_id=signal, sample_buffer_size=size, **more)
    heartbeat = make("CollectionScheme", decoder_manifest_sync_id=manifest.sync_id, expiry_time_ms_epoch=253402300799000,
                     time_based_collection_scheme=make("TimeBased", time_based_collection_scheme_period_ms=5000),
                     include_active_dtcs=True, compress_collected_data=True,
                     signal_information=[collect(10), collect(7), collect(3), collect(4)])
    heartbeat.campaign_sync_id = sync_id("heartbeat", heartbeat)
    hotter = node(node_operator=make("NodeOperator", left_child=node(node_signal_id=3),
                                     right_child=node(node_double_value=110), operator=1))
    standing = node(node_operator=make("NodeOperator", left_child=node(node_signal_id=7),
                                       right_child=node(node_boolean_value=False), operator=4))
    moving = node(node_operator=make("NodeOperator", left_child=standing, operator=8))
    hot = make("CollectionScheme", decoder_manifest_sync_id=manifest.sync_id, start_time_ms_epoch=AT,
               expiry_time_ms_epoch=1798761600000, after_duration_ms=3000, persist_all_collected_data=True, priority=1,
               condition_based_collection_scheme=make(
                   "ConditionBased", condition_minimum_interval_ms=2000, condition_trigger_mode=1,
                   condition_tree=node(node_operator=make("NodeOperator", left_child=hotter, right_child=moving,
                                                          operator=6))),
               signal_information=[collect(10, 50, minimum_sample_period_ms=20), collect(7, condition_only_signal=True),
                                   collect(3, condition_only_signal=True)])
    hot.campaign_sync_id = sync_id("hot", hot)
    schemes = make("CollectionSchemes", collection_schemes=[heartbeat, hot])
    schemes_sync_id = sync_id("car", schemes)
    schemes.timestamp_ms_epoch = AT
    names = make("SignalNames", sync_id=manifest.sync_id.encode(), signals=[
        make("SignalName", signal_id=3, name=b"Vehicle.OBD.CoolantTemperature"),
        make("SignalName", signal_id=4, name=b"Vehicle.Cabin.Infotainment.Media.Played.Track"),
        make("SignalName", signal_id=7, name=b"Vehicle.IsMoving", is_boolean=True),
        make("SignalName", signal_id=10, name=b"Vehicle.Speed")])
    return {"described-manifest": manifest.SerializeToString(), "described-manifest-id": manifest.sync_id.encode(),
            "described-schemes": schemes.SerializeToString(), "described-schemes-id": schemes_sync_id.encode(),
            "described-heartbeat-id": heartbeat.campaign_sync_id.encode(),
            "described-hot-id": hot.campaign_sync_id.encode(), "described-names": names.SerializeToString()}


drive = data([(0, 1, 52.5), (-100, 1, 51.0), (0, 2, 1.0), (0, 3, b"D"), (0, 99, 7.0)])
vectors = {
    "names": TYPE["SignalNames"](sync_id=b"demo/car/1", signals=[
        TYPE["SignalName"](signal_id=3, name=b"Vehicle.Powertrain.Transmission.SelectedGear"),
        TYPE["SignalName"](signal_id=1, name=b"Vehicle.Speed"),
        TYPE["SignalName"](signal_id=2, name=b"Vehicle.IsMoving", is_boolean=True),
        TYPE["SignalName"](signal_id=4, name=b"Vehicle.VehicleIdentification.VIN"),
        TYPE["SignalName"](signal_id=5, name=b"Vehicle.Objects"),
    ]).SerializeToString(),
    "names-twice": TYPE["SignalNames"](sync_id=b"demo/car/1", signals=[
        TYPE["SignalName"](signal_id=1, name=b"A"), TYPE["SignalName"](signal_id=1, name=b"B")]).SerializeToString(),
    "names-id-0": TYPE["SignalNames"](sync_id=b"demo/car/1", signals=[
        TYPE["SignalName"](signal_id=0, name=b"A")]).SerializeToString(),
    "names-id-high-bit": TYPE["SignalNames"](sync_id=b"demo/car/1", signals=[
        TYPE["SignalName"](signal_id=1 << 31, name=b"A")]).SerializeToString(),
    "names-space": TYPE["SignalNames"](sync_id=b"demo/car/1", signals=[
        TYPE["SignalName"](signal_id=1, name=b"A B")]).SerializeToString(),
    "names-without-sync-id": TYPE["SignalNames"](signals=[
        TYPE["SignalName"](signal_id=1, name=b"A")]).SerializeToString(),
    "drive": drive,
    "drive-snappy": snappy.compress(drive),
    "long-snappy": snappy.compress(data([(-i, 1, float(i)) for i in range(64)])),
    "unknown-manifest": data([(0, 1, 1.0)], decoder=b"arn:aws:iotfleetwise:eu-central-1:1:decoder-manifest/x"),
    "members": data([(0, (5, 0, 15, 1), 2.0), (0, (98, 3), b"x"), (0, (5,), 1.0)]),
    "same-instant-twice": data([(0, 1, 1.0), (0, 1, 2.0), (0, 1, 3.0)]),
    "trouble-codes": data([(0, 1, 1.0)], dtc_data=dtc(-5, b"P0420", b"U0100")),
    "trouble-codes-none": data(dtc_data=dtc(0)),
    "trouble-codes-vin": data(dtc_data=dtc(0, b"P0420", b"see " + VIN)),
    "trouble-codes-not-utf8": data(dtc_data=dtc(0, b"P\xff")),
    "trouble-codes-long": data(dtc_data=dtc(0, *[b"P0420"] * 600)),
    "vin-signal": data([(0, 4, b"unreadable"), (0, 1, 1.0)]),
    "vin-text": data([(0, 3, b"vin=" + VIN), (0, 97, VIN.lower()), (0, 1, 1.0)]),
    "vin-only": data([(0, 4, VIN)]),
    "hash-text": data([(0, 3, b"5e" * 32), (0, 1, 1.0)]),
    "objects-only": data(s3_objects=[TYPE["S3Object"](key=b"x")]),
    "nothing": data(),
    "nan": data([(0, 1, 1.0), (0, 1, math.nan)]),
    "infinite": data([(0, 1, math.inf)]),
    "nan-boolean": data([(0, 2, math.nan)]),
    "no-value": data([(0, 1, None)]),
    "no-id": data([(0, None, 1.0)]),
    "id-0": data([(0, 0, 1.0)]),
    "member-of-0": data([(0, (0, 1), 1.0)]),
    "path-long": data([(0, (5, *range(17)), 1.0)]),
    "text-not-utf8": data([(0, 3, b"\xc3\x28")]),
    "text-nul": data([(0, 3, b"a\0b")]),
    "text-long": data([(0, 3, b"x" * 4097)]),
    "text-longest": data([(0, 3, b"x" * 4096)]),
    "time-0": data([(0, 1, 1.0)], at=0),
    "time-1999": data([(0, 1, 1.0)], at=946684799999),
    "time-2000": data([(0, 1, 1.0)], at=946684800000),
    "time-far-ahead": data([(0, 1, 1.0)], at=AT + 86400001 + 1000),
    "time-beyond-int64": data([(0, 1, 1.0)], at=(1 << 64) - 1),
    "relative-least": data([(-(1 << 63), 1, 1.0)]),
    "relative-greatest": data([((1 << 63) - 1, 1, 1.0)]),
    "relative-far": data([(0, 1, 1.0), (-AT, 1, 1.0)]),
    "decoder-missing": data([(0, 1, 1.0)], decoder=b""),
    "decoder-long": data([(0, 1, 1.0)], decoder=b"d" * 129),
    "decoder-longest": data([(0, 1, 1.0)], decoder=b"d" * 128),
    "decoder-dots": data([(0, 1, 1.0)], decoder=b"a..b"),
    "decoder-space": data([(0, 1, 1.0)], decoder=b"a b"),
    "decoder-vin": data([(0, 1, 1.0)], decoder=b"car/" + VIN),
    "checkin": TYPE["Checkin"](document_sync_ids=[b"demo/heartbeat/1", b"demo/car/1"],
                               timestamp_ms_epoch=AT).SerializeToString(),
    "checkin-empty": TYPE["Checkin"](timestamp_ms_epoch=AT).SerializeToString(),
    "checkin-not-printable": TYPE["Checkin"](document_sync_ids=[b"a\0b", b"\xff", b"x" * 200]).SerializeToString(),
    **described(),
}


def main():
    with open(HERE / "fleetwise.tsv", "w", encoding="ascii") as file:
        for name, payload in vectors.items():
            file.write(f"{name}\t{payload.hex()}\n")
    for harness, names in {"fleetwise_decode": ["drive", "drive-snappy", "long-snappy", "members", "trouble-codes", "vin-text",
                                                "nan", "relative-far"],
                           "fleetwise_checkin": ["checkin", "checkin-empty", "checkin-not-printable"],
                           "fleetwise_names": ["names", "names-twice"]}.items():
        folder = HERE.parent / "fuzz" / "corpus" / harness
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_bytes(vectors[name])


if __name__ == "__main__":
    main()
