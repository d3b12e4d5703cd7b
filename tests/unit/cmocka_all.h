/* cmocka with what it needs in front of it, so that a test begins with one line. */
#ifndef VINVEIL_TESTS_CMOCKA_ALL_H
#define VINVEIL_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
