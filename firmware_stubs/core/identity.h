/* Who a node says it is: Modbus Read Device Identification (function 43, MEI type 14), basic objects. Reading only:
 * other MEI types, type 13 above all, which carries services that write, are refused.
 * Modbus application protocol V1.1b3, 6.21. */
#ifndef WEIZHAN_IDENTITY_H
#define WEIZHAN_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#define NODE_VENDOR "Weizhan"
#define NODE_REVISION "V0.1.0" /* of the firmware; tests/firmware holds it to the version of the whole */

enum {
    IDENTITY_FUNCTION = 0x2B,
    IDENTITY_TYPE = 0x0E,
    IDENTITY_REQUEST = 7,  /* bytes of the frame: unit, function, type, read code, object, CRC */
    IDENTITY_OBJECTS = 3,
    IDENTITY_TEXT = 64     /* longest text that is told; so one answer holds all of them */
};

/* VendorName, ProductCode, MajorMinorRevision. */
struct identity {
    const char *objects[IDENTITY_OBJECTS];
};

/* What answers a request. type, code, object: as asked for. Into body[3 + 3 + 3 * (2 + IDENTITY_TEXT)] goes what follows
 * the function; its length. 0: refused, with the exception in *why. */
size_t identity_answer(const struct identity *identity, uint8_t type, uint8_t code, uint8_t object, uint8_t *body,
                       uint8_t *why);

#endif
