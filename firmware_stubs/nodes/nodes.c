#include "nodes/nodes.h"

#include "nodes/generated/breathing_apparatus_rack.h"
#include "nodes/generated/end_test_valve.h"
#include "nodes/generated/extinguisher_bay.h"
#include "nodes/generated/hydrant_indoor.h"
#include "nodes/generated/hydrant_municipal.h"
#include "nodes/generated/panel_modbus.h"
#include "nodes/generated/water_level.h"

/* Steps are raw: what a working main, tank or gauge does not do by noise alone. */

static const struct input hydrant_inputs[HYDRANT_MUNICIPAL_POINTS] = {
    [HYDRANT_MUNICIPAL_PRESSURE_KPA] = {.shift = 2, .step = 100}, /* 10 kPa */
    [HYDRANT_MUNICIPAL_FLOW_LPS] = {.shift = 1, .step = 100},     /* 1 L/s */
    [HYDRANT_MUNICIPAL_WATER_TEMPERATURE_C] = {.shift = 3, .step = 20},
    [HYDRANT_MUNICIPAL_TILT_DEG] = {.shift = 1, .step = 50},
    [HYDRANT_MUNICIPAL_BATTERY_PCT] = {.step = 100},
    [HYDRANT_MUNICIPAL_SIGNAL_DBM] = {.shift = 2, .step = 20},
};
const struct node_type hydrant_node = {&hydrant_municipal_profile, hydrant_inputs};

static const struct input indoor_inputs[HYDRANT_INDOOR_POINTS] = {
    [HYDRANT_INDOOR_PRESSURE_KPA] = {.shift = 2, .step = 100},
    [HYDRANT_INDOOR_BATTERY_PCT] = {.step = 100},
};
const struct node_type indoor_node = {&hydrant_indoor_profile, indoor_inputs};

static const struct input valve_inputs[END_TEST_VALVE_POINTS] = {
    [END_TEST_VALVE_PRESSURE_KPA] = {.shift = 2, .step = 100},
    [END_TEST_VALVE_BATTERY_PCT] = {.step = 100},
};
const struct node_type valve_node = {&end_test_valve_profile, valve_inputs};

static const struct input level_inputs[WATER_LEVEL_POINTS] = {
    [WATER_LEVEL_LEVEL_M] = {.shift = 3, .step = 100}, /* 0.1 m; waves are noise */
    [WATER_LEVEL_WATER_TEMPERATURE_C] = {.shift = 3, .step = 20},
};
const struct node_type level_node = {&water_level_profile, level_inputs};

static const struct input bay_inputs[EXTINGUISHER_BAY_POINTS] = {
    [EXTINGUISHER_BAY_PRESSURE_KPA] = {.shift = 2, .step = 100},
    [EXTINGUISHER_BAY_TEMPERATURE_C] = {.shift = 3, .step = 20},
    [EXTINGUISHER_BAY_PRESENT] = {.normal = 1, .urgent = 1}, /* taken out is the event */
};
const struct node_type bay_node = {&extinguisher_bay_profile, bay_inputs};

static const struct input rack_inputs[BREATHING_APPARATUS_RACK_POINTS] = {
    [BREATHING_APPARATUS_RACK_CYLINDER_1_PRESSURE_KPA] = {.shift = 2, .step = 50},
    [BREATHING_APPARATUS_RACK_CYLINDER_2_PRESSURE_KPA] = {.shift = 2, .step = 50},
    [BREATHING_APPARATUS_RACK_CYLINDER_3_PRESSURE_KPA] = {.shift = 2, .step = 50},
    [BREATHING_APPARATUS_RACK_CYLINDER_4_PRESSURE_KPA] = {.shift = 2, .step = 50},
    [BREATHING_APPARATUS_RACK_SET_1_PRESENT] = {.normal = 1, .urgent = 1},
    [BREATHING_APPARATUS_RACK_SET_2_PRESENT] = {.normal = 1, .urgent = 1},
    [BREATHING_APPARATUS_RACK_SET_3_PRESENT] = {.normal = 1, .urgent = 1},
    [BREATHING_APPARATUS_RACK_SET_4_PRESENT] = {.normal = 1, .urgent = 1},
};
const struct node_type rack_node = {&breathing_apparatus_rack_profile, rack_inputs};

/* The adapter sees the panel's states by a port of the board; codes are the panel's own, 1 is fire. */
enum { PANEL_FIRE = 1 };
#define POINT {.urgent = PANEL_FIRE}
#define FOUR_POINTS POINT, POINT, POINT, POINT
static const struct input panel_inputs[PANEL_MODBUS_POINTS] = {
    [PANEL_MODBUS_MAIN_POWER] = {.shift = 0},
    [PANEL_MODBUS_STANDBY_POWER] = {.shift = 0},
    [PANEL_MODBUS_BUS] = {.shift = 0},
    [PANEL_MODBUS_P001] = FOUR_POINTS, FOUR_POINTS, FOUR_POINTS, FOUR_POINTS,
    FOUR_POINTS, FOUR_POINTS, FOUR_POINTS, FOUR_POINTS,
};
const struct node_type panel_adapter = {&panel_modbus_profile, panel_inputs};
