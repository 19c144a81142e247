/* A test fails by saying where and what. */
#ifndef WEIZHAN_CHECK_H
#define WEIZHAN_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK_EQUAL(got, want)                                                                               \
    do {                                                                                                     \
        const long long got_ = (long long) (got), want_ = (long long) (want);                                \
        if (got_ != want_) {                                                                                 \
            fprintf(stderr, "%s:%d: %s: got %lld, want %lld\n", __FILE__, __LINE__, #got, got_, want_);      \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define CHECK(condition) CHECK_EQUAL(!(condition), 0)

#endif
