// Preloaded into a child process by tests/crash.rs: counts what the process asks of the files under one folder, and at a
// chosen point kills it, tears a write, or fails as a full or broken disk does.
//
//   FAULT_UNDER  only files under this folder count
//   FAULT_AT     the point, counted from 1; 0 counts only
//   FAULT_KIND   kill: SIGKILL before the call is made
//                torn: half of a write is made, then SIGKILL
//                full: from this point on whatever needs room fails with ENOSPC
//                once: this call alone fails with EIO
//   FAULT_LOG    one line for each point: the call, and the file
//   FAULT_OFF    while this file exists nothing is counted and nothing fails
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum verdict { GO, FAIL, TEAR };

static long points;

static const char *name_of(int fd, char *buffer, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, buffer, size - 1);
  if (length < 0) return NULL;
  buffer[length] = 0;
  return buffer;
}

// Whether the call goes on. `room`: it needs room on the disk.
static enum verdict point(const char *call, const char *path, int room) {
  const char *under = getenv("FAULT_UNDER"), *off = getenv("FAULT_OFF"), *log = getenv("FAULT_LOG");
  if (!under || !path || strncmp(path, under, strlen(under)) || (off && !access(off, F_OK))) return GO;
  long at = atol(getenv("FAULT_AT") ? getenv("FAULT_AT") : "0");
  const char *kind = getenv("FAULT_KIND") ? getenv("FAULT_KIND") : "";
  points++;
  if (log) {
    FILE *file = fopen(log, "a");
    if (file) {
      fprintf(file, "%s %s\n", call, path);
      fclose(file);
    }
  }
  if (!at || points < at) return GO;
  if (!strcmp(kind, "full")) {
    if (!room) return GO;
    errno = ENOSPC;
    return FAIL;
  }
  if (points != at) return GO;
  if (!strcmp(kind, "kill")) kill(getpid(), SIGKILL);
  if (!strcmp(kind, "torn")) return TEAR;
  errno = EIO;
  return FAIL;
}

static void die(void) { kill(getpid(), SIGKILL); }

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define WRITE(symbol) \
  ssize_t symbol(int fd, const void *bytes, size_t length, off_t offset) { \
    REAL(ssize_t, #symbol, int, const void *, size_t, off_t); \
    char path[4096]; \
    switch (point("write", name_of(fd, path, sizeof path), 1)) { \
      case FAIL: return -1; \
      case TEAR: real(fd, bytes, length / 2, offset); die(); \
      default: return real(fd, bytes, length, offset); \
    } \
  }
WRITE(pwrite)
WRITE(pwrite64)

ssize_t write(int fd, const void *bytes, size_t length) {
  REAL(ssize_t, "write", int, const void *, size_t);
  char path[4096];
  switch (fd > 2 ? point("write", name_of(fd, path, sizeof path), 1) : GO) {
    case FAIL: return -1;
    case TEAR: real(fd, bytes, length / 2); die();
    default: return real(fd, bytes, length);
  }
}

#define ON_FD(symbol, call) \
  int symbol(int fd) { \
    REAL(int, #symbol, int); \
    char path[4096]; \
    switch (point(call, name_of(fd, path, sizeof path), 0)) { \
      case FAIL: return -1; \
      case TEAR: die(); \
      default: return real(fd); \
    } \
  }
ON_FD(fsync, "flush")
ON_FD(fdatasync, "flush")

#define TRUNCATE(symbol) \
  int symbol(int fd, off_t length) { \
    REAL(int, #symbol, int, off_t); \
    char path[4096]; \
    switch (point("truncate", name_of(fd, path, sizeof path), 0)) { \
      case FAIL: return -1; \
      case TEAR: die(); \
      default: return real(fd, length); \
    } \
  }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  switch (point("rename", from, 0)) {
    case FAIL: return -1;
    case TEAR: die();
    default: return real(from, to);
  }
}

int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  switch (point("unlink", path, 0)) {
    case FAIL: return -1;
    case TEAR: die();
    default: return real(path);
  }
}

int unlinkat(int folder, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  char name[4096];
  switch (point("unlink", *path == '/' ? path : name_of(folder, name, sizeof name), 0)) {
    case FAIL: return -1;
    case TEAR: die();
    default: return real(folder, path, flags);
  }
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  switch (point("mkdir", path, 1)) {
    case FAIL: return -1;
    case TEAR: die();
    default: return real(path, mode);
  }
}

#define OPEN(symbol) \
  int symbol(const char *path, int flags, ...) { \
    REAL(int, #symbol, const char *, int, ...); \
    mode_t mode = 0; \
    if (flags & O_CREAT) { \
      va_list more; \
      va_start(more, flags); \
      mode = va_arg(more, mode_t); \
      va_end(more); \
    } \
    switch ((flags & O_CREAT) && access(path, F_OK) ? point("create", path, 1) : GO) { \
      case FAIL: return -1; \
      case TEAR: die(); \
      default: return real(path, flags, mode); \
    } \
  }
OPEN(open)
OPEN(open64)
