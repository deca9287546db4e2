/* Asks a callback before every operation that changes a file, whichever library does it: it is preloaded (LD_PRELOAD)
 * and stands in front of libc. The callback answers 0 (go on), an errno (fail with it), or KILL (do it, then die).
 * A write that is the last one writes half of its bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL = -1 };
typedef int (*ask_t)(const char *operation, const char *path, int descriptor);

static ask_t callback;
static pid_t watched; /* children of the watched process are left alone */
static __thread int asking;

void watch(ask_t function)
{
	callback = function;
	watched = getpid();
}

static int ask(const char *operation, const char *path, int descriptor)
{
	int answer, before = errno;
	if (!callback || asking || getpid() != watched)
		return 0;
	asking = 1;
	answer = callback(operation, path, descriptor);
	asking = 0;
	errno = before;
	return answer;
}

static void die(void) { kill(getpid(), SIGKILL); pause(); }

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* What is done whole or not at all: a name appears, changes or goes; bytes reach the disk. */
#define WHOLE(operation, path, descriptor, failed, call) do { \
	int answer = ask(operation, path, descriptor); \
	if (answer > 0) { errno = answer; return failed; } \
	__typeof__(call) result = call; \
	if (answer == KILL) die(); \
	return result; \
} while (0)

#define OPENING(name, signature, path, descriptor, ...) \
	int name signature { \
		REAL(name); \
		mode_t mode = 0; \
		if (flags & (O_CREAT | O_TMPFILE)) { \
			va_list more; \
			va_start(more, flags); \
			mode = va_arg(more, mode_t); \
			va_end(more); \
		} \
		if ((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC))) return real(__VA_ARGS__, flags, mode); \
		WHOLE("open", path, descriptor, -1, real(__VA_ARGS__, flags, mode)); \
	}

OPENING(open, (const char *path, int flags, ...), path, AT_FDCWD, path)
OPENING(open64, (const char *path, int flags, ...), path, AT_FDCWD, path)
OPENING(openat, (int folder, const char *path, int flags, ...), path, folder, folder, path)
OPENING(openat64, (int folder, const char *path, int flags, ...), path, folder, folder, path)

#define FOPENING(name) \
	FILE *name(const char *path, const char *mode) { \
		REAL(name); \
		if (mode[0] == 'r' && mode[1] != '+' && (!mode[1] || mode[2] != '+')) return real(path, mode); \
		WHOLE("open", path, AT_FDCWD, NULL, real(path, mode)); \
	}

FOPENING(fopen)
FOPENING(fopen64)

#define WRITING(name, signature, count, half, all) \
	ssize_t name signature { \
		REAL(name); \
		int answer = ask("write", NULL, descriptor); \
		if (answer > 0) { errno = answer; return -1; } \
		if (answer == KILL) { if (count > 1) { ssize_t ignored = half; (void)ignored; } die(); } \
		return all; \
	}

WRITING(write, (int descriptor, const void *bytes, size_t count), count,
	real(descriptor, bytes, count / 2), real(descriptor, bytes, count))
WRITING(pwrite, (int descriptor, const void *bytes, size_t count, off_t at), count,
	real(descriptor, bytes, count / 2, at), real(descriptor, bytes, count, at))
WRITING(pwrite64, (int descriptor, const void *bytes, size_t count, off64_t at), count,
	real(descriptor, bytes, count / 2, at), real(descriptor, bytes, count, at))
WRITING(writev, (int descriptor, const struct iovec *parts, int count), count,
	real(descriptor, parts, count / 2), real(descriptor, parts, count))
WRITING(copy_file_range, (int source, off64_t *from, int descriptor, off64_t *to, size_t count, unsigned flags), count,
	real(source, from, descriptor, to, count / 2, flags), real(source, from, descriptor, to, count, flags))
WRITING(sendfile64, (int descriptor, int source, off64_t *from, size_t count), count,
	real(descriptor, source, from, count / 2), real(descriptor, source, from, count))
WRITING(sendfile, (int descriptor, int source, off_t *from, size_t count), count,
	real(descriptor, source, from, count / 2), real(descriptor, source, from, count))

#define CHANGING(name, operation, signature, path, descriptor, ...) \
	int name signature { REAL(name); WHOLE(operation, path, descriptor, -1, real(__VA_ARGS__)); }

CHANGING(fsync, "flush", (int descriptor), NULL, descriptor, descriptor)
CHANGING(fdatasync, "flush", (int descriptor), NULL, descriptor, descriptor)
CHANGING(ftruncate, "truncate", (int descriptor, off_t size), NULL, descriptor, descriptor, size)
CHANGING(ftruncate64, "truncate", (int descriptor, off64_t size), NULL, descriptor, descriptor, size)
CHANGING(mkdir, "mkdir", (const char *path, mode_t mode), path, AT_FDCWD, path, mode)
CHANGING(mkdirat, "mkdir", (int folder, const char *path, mode_t mode), path, folder, folder, path, mode)
CHANGING(rmdir, "remove", (const char *path), path, AT_FDCWD, path)
CHANGING(unlink, "remove", (const char *path), path, AT_FDCWD, path)
CHANGING(unlinkat, "remove", (int folder, const char *path, int flags), path, folder, folder, path, flags)
CHANGING(link, "link", (const char *old, const char *path), path, AT_FDCWD, old, path)
CHANGING(linkat, "link", (int from, const char *old, int folder, const char *path, int flags), path, folder,
	from, old, folder, path, flags)
CHANGING(symlink, "link", (const char *old, const char *path), path, AT_FDCWD, old, path)
CHANGING(rename, "rename", (const char *old, const char *path), path, AT_FDCWD, old, path)
CHANGING(renameat, "rename", (int from, const char *old, int folder, const char *path), path, folder,
	from, old, folder, path)
