/*
 * One simulated vehicle: who it is (VIN, device) and how it drives. Everything follows from the seed and the vehicle's
 * number, so that a second run simulates the same fleet. Pure: no clock, no randomness but its own.
 *
 * It drives trips through a town: accelerates, cruises, waits at lights, parks and charges when its battery is low.
 * Signals are named as in COVESA VSS 4.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_SIMULATE_DRIVE_H
#define VINVEIL_PROGRAMS_VINVEIL_SIMULATE_DRIVE_H

#include "base/json.h"
#include "vehicle/device.h"
#include "vehicle/vin.h"

#define DRIVE_NUMBER_MAX 999999

enum drive_phase { DRIVE_PARKED, DRIVE_CHARGING, DRIVE_MOVING, DRIVE_WAITING };

struct drive {
	uint64_t random;
	enum drive_phase phase;
	double phase_left_s;
	double speed_kmh, wanted_kmh;
	double charge_percent;
	double odometer_km;
	double latitude, longitude, heading_deg;
	double air_temperature_c;
	bool is_locked, is_climate_on;
};

/* The vehicle's VIN (secret: wipe it) with a right check digit, and its device ID. number: 1 to DRIVE_NUMBER_MAX. */
void drive_vin(uint32_t seed, uint32_t number, struct vin *ret_vin);
void drive_device_id(uint32_t seed, uint32_t number, char ret_device_id[static DEVICE_ID_LENGTH_MAX + 1]);

void drive_start(struct drive *drive, uint32_t seed, uint32_t number);
/* Drives on for that long. */
void drive_advance(struct drive *drive, double seconds);
/* A telemetry message: {"timestamp": …, "signals": {…}}. */
MUST_USE enum result drive_write(const struct drive *drive, int64_t at_ms, struct buf *ret_json);

#endif
