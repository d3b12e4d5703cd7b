#include "programs/vinveil/simulate_drive.h"

#include <math.h>
#include <stdio.h>

#define KM_PER_DEGREE	  111.2
#define BATTERY_KWH	  62.0
#define KWH_PER_KM	  0.17
#define CHARGING_KW	  50.0
#define RANGE_M_PER_UNIT  (BATTERY_KWH / KWH_PER_KM * 1000 / 100)
#define ACCELERATION_KMHS 7.0 /* km/h a second */
#define DEGREE		  (M_PI / 180)

/* ---- randomness: SplitMix64, so that neighbouring numbers give unlike vehicles ----------------------------- */

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static double random_between(struct drive *drive, double low, double high)
{
	return low + (high - low) * ((double)(next_random(&drive->random) >> 11) / 9007199254740992.0);
}

static uint64_t vehicle_state(uint32_t seed, uint32_t number)
{
	return (uint64_t)seed << 32 | number;
}

/* ---- who it is --------------------------------------------------------------------------------------------- */

static const char vin_alphabet[] = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ";

/* The values of 49 CFR 565.15: digits their own, letters those of the table. */
static unsigned transliterate(char c)
{
	static const char letters[] = "ABCDEFGHJKLMNPRSTUVWXYZ";
	static const unsigned char values[] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9};
	const char *at = strchr(letters, c);
	return c >= '0' && c <= '9' ? (unsigned)(c - '0') : values[at - letters];
}

static char check_digit(const char *text)
{
	static const unsigned char weights[VIN_LENGTH] = {8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2};
	unsigned sum = 0;
	for (size_t i = 0; i < VIN_LENGTH; i++)
		sum += transliterate(text[i]) * weights[i];
	return sum % 11 == 10 ? 'X' : (char)('0' + sum % 11);
}

void drive_vin(uint32_t seed, uint32_t number, struct vin *ret_vin)
{
	/* World manufacturer 1VV; the seed in positions 4 to 8; model year and plant; a serial number. */
	uint64_t state = seed;
	uint64_t mixed = next_random(&state);
	char description[6];
	for (size_t i = 0; i < 5; i++, mixed /= 33)
		description[i] = vin_alphabet[mixed % 33];
	description[5] = '\0';
	snprintf(ret_vin->text, sizeof ret_vin->text, "1VV%s0TS%06u", description, number % (DRIVE_NUMBER_MAX + 1));
	ret_vin->text[8] = check_digit(ret_vin->text);
}

void drive_device_id(uint32_t seed, uint32_t number, char ret_device_id[static DEVICE_ID_LENGTH_MAX + 1])
{
	snprintf(ret_device_id, DEVICE_ID_LENGTH_MAX + 1, "SIM-%u-%06u", seed, number);
}

/* ---- how it drives ----------------------------------------------------------------------------------------- */

void drive_start(struct drive *drive, uint32_t seed, uint32_t number)
{
	*drive = (struct drive){.random = vehicle_state(seed, number), .phase = DRIVE_PARKED, .is_locked = true};
	drive->phase_left_s = random_between(drive, 0, 3);
	drive->charge_percent = random_between(drive, 25, 95);
	drive->odometer_km = random_between(drive, 10, 90000);
	drive->latitude = random_between(drive, 48.0, 48.3); /* around Munich */
	drive->longitude = random_between(drive, 11.3, 11.8);
	drive->heading_deg = random_between(drive, 0, 360);
	drive->air_temperature_c = random_between(drive, -5, 30);
}

static void begin_phase(struct drive *drive, enum drive_phase phase, double low_s, double high_s)
{
	drive->phase = phase;
	drive->phase_left_s = random_between(drive, low_s, high_s);
}

static void set_off(struct drive *drive)
{
	static const double limits_kmh[] = {30, 50, 50, 70, 100, 130};
	begin_phase(drive, DRIVE_MOVING, 20, 180);
	drive->is_locked = true;
	drive->wanted_kmh = limits_kmh[next_random(&drive->random) % 6] * random_between(drive, 0.9, 1.05);
	drive->heading_deg = fmod(drive->heading_deg + random_between(drive, -90, 90) + 360, 360);
}

static void next_phase(struct drive *drive)
{
	switch (drive->phase) {
	case DRIVE_MOVING:
		drive->wanted_kmh = 0;
		if (drive->charge_percent < 15)
			begin_phase(drive, DRIVE_CHARGING, 600, 1800);
		else if (next_random(&drive->random) % 8 == 0)
			begin_phase(drive, DRIVE_PARKED, 30, 600);
		else
			begin_phase(drive, DRIVE_WAITING, 5, 60);
		break;
	case DRIVE_PARKED:
	case DRIVE_CHARGING:
	case DRIVE_WAITING:
		set_off(drive);
		break;
	}
}

static void move(struct drive *drive, double seconds)
{
	double change = drive->wanted_kmh - drive->speed_kmh, most = ACCELERATION_KMHS * seconds;
	drive->speed_kmh += fmax(-most, fmin(most, change));
	double km = drive->speed_kmh * seconds / 3600;
	drive->odometer_km += km;
	drive->latitude += km * cos(drive->heading_deg * DEGREE) / KM_PER_DEGREE;
	drive->longitude += km * sin(drive->heading_deg * DEGREE) / (KM_PER_DEGREE * cos(drive->latitude * DEGREE));
	double kwh = km * KWH_PER_KM;
	if (drive->phase == DRIVE_CHARGING && drive->speed_kmh < 0.1)
		kwh -= CHARGING_KW * seconds / 3600;
	drive->charge_percent = fmax(0, fmin(100, drive->charge_percent - kwh / BATTERY_KWH * 100));
}

void drive_advance(struct drive *drive, double seconds)
{
	while (seconds > 0) {
		double step = fmin(seconds, 1);
		seconds -= step;
		drive->phase_left_s -= step;
		if (drive->phase_left_s <= 0)
			next_phase(drive);
		move(drive, step);
	}
}

/* ---- what it tells ----------------------------------------------------------------------------------------- */

static enum result append_real(struct buf *json, const char *name, int decimals, double value)
{
	return buf_append_format(json, "\"%s\":%.*f,", name, decimals, value);
}

enum result drive_write(const struct drive *drive, int64_t at_ms, struct buf *ret_json)
{
	TRY(buf_append_format(ret_json, "{\"timestamp\":%lld,\"signals\":{", (long long)at_ms));
	TRY(append_real(ret_json, "Vehicle.Speed", 1, drive->speed_kmh));
	TRY(append_real(ret_json, "Vehicle.TraveledDistance", 1, drive->odometer_km));
	TRY(append_real(ret_json, "Vehicle.CurrentLocation.Latitude", 6, drive->latitude));
	TRY(append_real(ret_json, "Vehicle.CurrentLocation.Longitude", 6, drive->longitude));
	TRY(append_real(ret_json, "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current", 1,
			drive->charge_percent));
	TRY(append_real(ret_json, "Vehicle.Exterior.AirTemperature", 1, drive->air_temperature_c));
	return buf_append_format(ret_json,
				 "\"Vehicle.Powertrain.Range\":%.0f,"
				 "\"Vehicle.Powertrain.TractionBattery.Charging.IsCharging\":%s,"
				 "\"Vehicle.Cabin.Door.Row1.DriverSide.IsLocked\":%s,\"Vehicle.IsMoving\":%s}}",
				 drive->charge_percent * RANGE_M_PER_UNIT,
				 drive->phase == DRIVE_CHARGING ? "true" : "false", drive->is_locked ? "true" : "false",
				 drive->speed_kmh > 0.5 ? "true" : "false");
}
