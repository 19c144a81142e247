/* A Modbus slave on libmodbus, for tests: TCP on a free loopback port, or RTU on a serial device.
 *
 *   modbus_slave tcp            prints "ready PORT"
 *   modbus_slave rtu DEVICE BAUD UNIT   prints "ready 0"
 *
 * Registers no profile was made for:
 *   holding 0..199   address * 3 + 1
 *   holding 200      -123 (int16)         holding 201  0x8000
 *   holding 210,211  36.5 (float32, high word first)
 *   holding 212,213  -100000 (int32, high word first)
 *   holding 214,215  36.5 (float32, low word first)
 *   holding 216,217  a NaN
 *   input   0..199   address * 5 + 2
 *   coils and discrete inputs 0..63: address % 3 == 0
 *
 * Commands on standard input, one a line, answered with "ok":
 *   set ADDRESS VALUE    a holding register
 *   delay MS             wait before each answer from now on
 *   mute 0|1             answer nothing
 */
#include <errno.h>
#include <modbus.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REGISTERS = 400, BITS = 64, CLIENTS = 16 };

struct slave {
    modbus_t *bus;
    modbus_mapping_t *map;
    atomic_int delay_ms;
    atomic_int muted;
};

static void fill(modbus_mapping_t *map)
{
    for (int n = 0; n < 200; n++) {
        map->tab_registers[n] = (uint16_t) (n * 3 + 1);
        map->tab_input_registers[n] = (uint16_t) (n * 5 + 2);
    }
    for (int n = 0; n < BITS; n++)
        map->tab_bits[n] = map->tab_input_bits[n] = n % 3 == 0;
    map->tab_registers[200] = (uint16_t) -123;
    map->tab_registers[201] = 0x8000;
    map->tab_registers[210] = 0x4212; /* 36.5f is 0x42120000 */
    map->tab_registers[211] = 0x0000;
    map->tab_registers[212] = 0xFFFE; /* -100000 is 0xFFFE7960 */
    map->tab_registers[213] = 0x7960;
    map->tab_registers[214] = 0x0000;
    map->tab_registers[215] = 0x4212;
    map->tab_registers[216] = 0x7FC0;
    map->tab_registers[217] = 0x0000;
}

static void *take_commands(void *argument)
{
    struct slave *slave = argument;
    char line[128];
    int address, value;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "set %d %d", &address, &value) == 2 && address >= 0 && address < REGISTERS)
            slave->map->tab_registers[address] = (uint16_t) value;
        else if (sscanf(line, "delay %d", &value) == 1)
            atomic_store(&slave->delay_ms, value);
        else if (sscanf(line, "mute %d", &value) == 1)
            atomic_store(&slave->muted, value);
        else {
            puts("unknown");
            fflush(stdout);
            continue;
        }
        puts("ok");
        fflush(stdout);
    }
    exit(0); /* the test has gone */
}

static void answer(struct slave *slave, const uint8_t *query, int size)
{
    int delay_ms = atomic_load(&slave->delay_ms);
    if (delay_ms > 0) {
        struct timespec pause = {delay_ms / 1000, (delay_ms % 1000) * 1000000L};
        nanosleep(&pause, NULL);
    }
    if (!atomic_load(&slave->muted))
        modbus_reply(slave->bus, query, size, slave->map);
}

static int serve_rtu(struct slave *slave)
{
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    for (;;) {
        int size = modbus_receive(slave->bus, query);
        if (size > 0)
            answer(slave, query, size);
        else if (size < 0 && errno != ETIMEDOUT && errno != EMBBADCRC && errno != EMBBADDATA && errno != EMBXILFUN)
            usleep(20000); /* the line is unplugged */
    }
}

static int serve_tcp(struct slave *slave, int listener)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    fd_set all, ready;
    int top = listener;
    FD_ZERO(&all);
    FD_SET(listener, &all);
    for (;;) {
        ready = all;
        if (select(top + 1, &ready, NULL, NULL, NULL) < 0)
            return 1;
        for (int fd = 0; fd <= top; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client >= 0) {
                    FD_SET(client, &all);
                    top = client > top ? client : top;
                }
                continue;
            }
            modbus_set_socket(slave->bus, fd);
            int size = modbus_receive(slave->bus, query);
            if (size > 0)
                answer(slave, query, size);
            else if (size < 0) {
                close(fd);
                FD_CLR(fd, &all);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static struct slave slave;
    pthread_t commands;
    int listener = -1, port = 0;
    int is_tcp = argc == 2 && strcmp(argv[1], "tcp") == 0;
    if (!is_tcp && !(argc == 5 && strcmp(argv[1], "rtu") == 0)) {
        fprintf(stderr, "usage: modbus_slave tcp | rtu DEVICE BAUD UNIT\n");
        return 2;
    }
    slave.map = modbus_mapping_new(BITS, BITS, REGISTERS, REGISTERS);
    slave.bus = is_tcp ? modbus_new_tcp("127.0.0.1", 0) : modbus_new_rtu(argv[2], atoi(argv[3]), 'N', 8, 1);
    if (slave.map == NULL || slave.bus == NULL)
        return 1;
    fill(slave.map);
    if (is_tcp) {
        struct sockaddr_in where;
        socklen_t size = sizeof where;
        listener = modbus_tcp_listen(slave.bus, CLIENTS);
        if (listener < 0 || getsockname(listener, (struct sockaddr *) &where, &size) != 0)
            return 1;
        port = ntohs(where.sin_port);
    } else {
        modbus_set_slave(slave.bus, atoi(argv[4]));
        if (modbus_connect(slave.bus) != 0) {
            fprintf(stderr, "%s: %s\n", argv[2], modbus_strerror(errno));
            return 1;
        }
    }
    pthread_create(&commands, NULL, take_commands, &slave);
    printf("ready %d\n", port);
    fflush(stdout);
    return is_tcp ? serve_tcp(&slave, listener) : serve_rtu(&slave);
}
