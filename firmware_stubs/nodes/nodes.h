/* The nodes there are. */
#ifndef WEIZHAN_NODES_H
#define WEIZHAN_NODES_H

#include "core/node.h"

extern const struct node_type hydrant_node;    /* hydrant-municipal */
extern const struct node_type indoor_node;     /* hydrant-indoor */
extern const struct node_type level_node;      /* water-level */
extern const struct node_type bay_node;        /* extinguisher-bay */
extern const struct node_type rack_node;       /* breathing-apparatus-rack */
extern const struct node_type valve_node;      /* end-test-valve */
extern const struct node_type panel_adapter;   /* panel-modbus */

#endif
