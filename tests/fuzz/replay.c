/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: give every file of a corpus directory to a fuzz target, as an ordinary program.
 *
 * usage: NAME_replay DIRECTORY|FILE...
 * Each input lies in a buffer of exactly its size, so that a sanitizer or valgrind sees a read
 * behind its end.  Also tries the empty input, and every input cut in half.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4 << 20 };

static void try(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int replay_file(const char *path)
{
	uint8_t *data = malloc(INPUT_MAX);
	FILE *f = fopen(path, "rbe");
	size_t n;

	if (!f || !data) {
		perror(path);
		free(data);
		if (f)
			fclose(f);
		return 1;
	}
	n = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	try(data, n);
	try(data, n / 2);
	free(data);
	return 0;
}

static int replay_directory(const char *path, size_t *count)
{
	DIR *d = opendir(path);
	struct dirent *de;
	int bad = 0;

	if (!d) {
		perror(path);
		return 1;
	}
	while ((de = readdir(d)) != NULL) {
		char file[4096];

		if (de->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, de->d_name);
		bad |= replay_file(file);
		++*count;
	}
	closedir(d);
	return bad;
}

int main(int argc, char **argv)
{
	size_t count = 0;
	int bad = 0, i;

	try((const uint8_t *)"", 0);
	for (i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) < 0) {
			perror(argv[i]);
			return 1;
		}
		if (S_ISDIR(st.st_mode)) {
			bad |= replay_directory(argv[i], &count);
		} else {
			bad |= replay_file(argv[i]);
			count++;
		}
	}
	if (count == 0) {
		fprintf(stderr, "no inputs\n");
		return 1;
	}
	printf("%zu inputs\n", count);
	return bad;
}
