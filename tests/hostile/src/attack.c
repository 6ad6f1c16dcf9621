/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack: choose the verb.  See attack.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

const char *answer(long result)
{
	const char *name;

	if (result >= 0)
		return "ok";
	name = strerrorname_np(errno);
	return name == NULL ? "unknown error" : name;
}

int report(const char *what, long result)
{
	printf("%s: %s\n", what, answer(result));
	fflush(stdout);
	return result >= 0;
}

long in_child(long (*f)(const void *arg), const void *arg)
{
	int said[2] = { -1, EINTR };
	int fd[2];
	pid_t pid;

	if (pipe(fd) != 0)
		return -1;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		long r = f(arg);

		said[0] = r < 0 ? -1 : 0;
		said[1] = errno;
		_exit(write(fd[1], said, sizeof(said)) == (ssize_t)sizeof(said) ? 0 : 1);
	}
	close(fd[1]);
	if (read(fd[0], said, sizeof(said)) != (ssize_t)sizeof(said))
		said[0] = -1;
	close(fd[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	errno = said[1];
	return said[0];
}

static const struct attack *const groups[] = { calls_attacks, process_attacks, file_attacks,
					       device_attacks };

int main(int argc, char **argv)
{
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		for (const struct attack *a = groups[g]; a->name != NULL; a++) {
			if (argc > 1 && strcmp(argv[1], a->name) == 0)
				return a->run(argc - 1, argv + 1);
		}
	}
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		for (const struct attack *a = groups[g]; a->name != NULL; a++)
			fprintf(stderr, "attack %s\n", a->usage);
	}
	return 2;
}
