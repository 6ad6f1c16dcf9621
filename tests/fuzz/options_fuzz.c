/* SPDX-License-Identifier: Apache-2.0 */
/* options_fuzz: the first byte chooses a verb, the rest is its arguments, separated by newlines. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARGS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cli_values v = { 0 };
	struct options_operands o = { 0 };
	struct err e = ERR_INIT;
	const struct verb *verb;
	auto_free char *text = NULL;
	char *args[ARGS_MAX];
	size_t n = 0;

	if (size == 0)
		return 0;
	verb = &cli_verbs[data[0] % cli_nverbs];
	text = xstrndup((const char *)data + 1, size - 1);
	for (char *word = text; word && n < ARGS_MAX; n++) {
		char *end = strchr(word, '\n');

		args[n] = word;
		if (end)
			*end++ = '\0';
		word = end;
	}
	if (options_parse(verb->options, verb->noptions, verb->stop_at_operand, args, n, &v, &o,
			  &e) == 0) {
		if (o.before_dashes > o.v.n || o.v.n > n)
			__builtin_trap();
		options_operands_clear(&o);
	} else if (e.kind != ERR_USAGE || o.v.n) {
		__builtin_trap();
	}
	options_clear(verb->options, verb->noptions, &v);
	return 0;
}
