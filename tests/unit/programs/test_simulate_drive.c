#include "programs/vinveil/simulate_drive.h"

#include "../cmocka_all.h"

#include <stdio.h>

static void assert_vin_is_good(uint32_t seed, uint32_t number)
{
	struct vin vin, parsed;
	drive_vin(seed, number, &vin);
	assert_int_equal(strlen(vin.text), VIN_LENGTH);
	assert_int_equal(vin_parse(span_of_text(vin.text), &parsed), RESULT_OK);
	assert_string_equal(parsed.text, vin.text);
	assert_true(vin_has_check_digit(&vin));
}

static void vins_have_right_check_digits(void **state)
{
	(void)state;
	for (uint32_t number = 1; number <= 2000; number++)
		assert_vin_is_good(number % 7, number);
	assert_vin_is_good(UINT32_MAX, DRIVE_NUMBER_MAX);
}

static void each_vehicle_has_a_vin_and_a_device_of_its_own(void **state)
{
	(void)state;
	struct vin a, b;
	char device_a[DEVICE_ID_SIZE], device_b[DEVICE_ID_SIZE];
	drive_vin(1, 1, &a);
	drive_vin(1, 2, &b);
	assert_string_not_equal(a.text, b.text);
	drive_vin(2, 1, &b);
	assert_string_not_equal(a.text, b.text);
	drive_vin(1, 1, &b);
	assert_string_equal(a.text, b.text);
	drive_device_id(1, 1, device_a);
	drive_device_id(11, 1, device_b);
	assert_string_not_equal(device_a, device_b);
	drive_device_id(1, 2, device_b);
	assert_string_not_equal(device_a, device_b);
}

static void no_device_id_looks_like_a_vin(void **state)
{
	(void)state;
	char device[DEVICE_ID_SIZE];
	for (uint32_t seed = 1; seed != 0; seed *= 10) {
		drive_device_id(seed, DRIVE_NUMBER_MAX, device);
		assert_false(vin_stands_in(span_of_text(device)));
		if (seed > UINT32_MAX / 10)
			break;
	}
}

/* The same seed and number drive the same way, however the time is cut. */
static void drives_follow_from_the_seed(void **state)
{
	(void)state;
	struct drive a, b;
	BUF_CLEANUP struct buf text_a = {0};
	BUF_CLEANUP struct buf text_b = {0};
	drive_start(&a, 5, 17);
	drive_start(&b, 5, 17);
	drive_advance(&a, 600);
	for (int i = 0; i < 600; i++)
		drive_advance(&b, 1);
	assert_int_equal(drive_write(&a, 1700000000000, &text_a), RESULT_OK);
	assert_int_equal(drive_write(&b, 1700000000000, &text_b), RESULT_OK);
	assert_string_equal((char *)text_a.data, (char *)text_b.data);
	drive_start(&b, 5, 18);
	buf_clear(&text_b);
	assert_int_equal(drive_write(&b, 1700000000000, &text_b), RESULT_OK);
	assert_string_not_equal((char *)text_a.data, (char *)text_b.data);
}

static void a_day_of_driving_stays_plausible(void **state)
{
	(void)state;
	for (uint32_t number = 1; number <= 20; number++) {
		struct drive drive;
		drive_start(&drive, 1, number);
		double odometer = drive.odometer_km, fastest = 0;
		for (int second = 0; second < 24 * 3600; second += 5) {
			drive_advance(&drive, 5);
			assert_true(drive.odometer_km >= odometer && drive.odometer_km - odometer < 0.2);
			odometer = drive.odometer_km;
			assert_true(drive.charge_percent >= 0 && drive.charge_percent <= 100);
			assert_true(drive.speed_kmh >= 0 && drive.speed_kmh < 140);
			assert_true(drive.latitude > 30 && drive.latitude < 65);
			fastest = drive.speed_kmh > fastest ? drive.speed_kmh : fastest;
		}
		assert_true(fastest > 25);
	}
}

static void messages_are_json_without_a_vin(void **state)
{
	(void)state;
	struct drive drive;
	BUF_CLEANUP struct buf text = {0};
	JSON_CLEANUP json_t *json = NULL;
	drive_start(&drive, 3, 9);
	drive_advance(&drive, 60);
	assert_int_equal(drive_write(&drive, 1767225600123, &text), RESULT_OK);
	assert_false(vin_stands_in(buf_span(&text)));
	assert_int_equal(json_read(buf_span(&text), &json, NULL), RESULT_OK);
	assert_int_equal(json_integer_value(json_object_get(json, "timestamp")), 1767225600123);
	const json_t *signals = json_object_get(json, "signals");
	static const char *const numbers[] = {"Vehicle.Speed", "Vehicle.TraveledDistance",
					      "Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude",
					      "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		assert_true(json_is_number(json_object_get(signals, numbers[i])));
	assert_true(json_is_boolean(json_object_get(signals, "Vehicle.IsMoving")));
	assert_int_equal(json_object_size(signals), 10);
}

int main(void)
{
	json_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vins_have_right_check_digits),
		cmocka_unit_test(each_vehicle_has_a_vin_and_a_device_of_its_own),
		cmocka_unit_test(no_device_id_looks_like_a_vin),
		cmocka_unit_test(drives_follow_from_the_seed),
		cmocka_unit_test(a_day_of_driving_stays_plausible),
		cmocka_unit_test(messages_are_json_without_a_vin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
