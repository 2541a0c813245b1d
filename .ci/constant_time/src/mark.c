#include <stddef.h>
#include <valgrind/memcheck.h>

/* Tells memcheck that the bytes are undefined (1) or defined (0). Not zero when memcheck runs us. */
int deedbox_mark(void *bytes, size_t length, int undefined) {
    if (undefined) {
        (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, length);
    } else {
        (void)VALGRIND_MAKE_MEM_DEFINED(bytes, length);
    }
    return RUNNING_ON_VALGRIND;
}
